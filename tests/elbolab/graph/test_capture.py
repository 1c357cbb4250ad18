"""Captured objectives: in float64 the graph is the eager objective bit for bit, and what cannot be captured is said."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from torch.distributions import Bernoulli, Normal, OneHotCategorical

import elbolab
from elbolab.estimators.base import Estimator
from elbolab.graph.capture import capture, trained
from elbolab.graph.inductor import compile_graph, once, product
from elbolab.graph.replicate import replicate
from elbolab.graph.trace import CannotCapture, NoReadback, trace
from guide import Guide, posteriors
from model import MLP, Model, likelihoods, priors
from training.catalogue import CHOICES

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE, LATENT = (6,), 3
WRITES = 1e-12  # what writes into its tensors is rewritten, and then some products see theirs in another layout


@pytest.fixture
def x():
    return (torch.rand(5, *SHAPE) < 0.4).double()


def programs(kind="normal"):
    prior, posterior = {
        "normal": (priors.StandardNormal, posteriors.DiagonalNormal),
        "bits": (priors.Bernoulli, posteriors.Bernoulli),
        "codes": (priors.OneHot, posteriors.OneHot),
        "mixture": (priors.Mixture, posteriors.DiagonalNormal),
        "full": (priors.StandardNormal, posteriors.FullNormal),
    }[kind]
    network = MLP(4)
    model = Model(prior(LATENT), likelihoods.Bernoulli(LATENT, SHAPE, network))
    return model.double(), Guide(posterior(SHAPE, LATENT, network)).double()


def made(cls, kind):
    """An ELBO and its programs; what it learns itself exists after a first step."""
    several = {"num_particles": 3} if issubclass(cls, Estimator) else {}
    return cls(**several)(*programs(kind))


def same(elbo, x, apart=0.0):
    """Loss, gradients and buffers of the graph and of the eager objective, from the same generator state."""
    close = {"rtol": apart, "atol": apart}
    elbo(x).backward()
    elbo.zero_grad()
    captured = capture(elbo, x)
    pyro.set_rng_seed(3)
    buffers = [b.clone() for b in elbo.buffers()]
    loss, gradients, after = captured([p.detach() for p in trained(elbo).values()], buffers, x)
    pyro.set_rng_seed(3)
    expected = elbo(x)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), **close)
    for gradient, p in zip(gradients, trained(elbo).values(), strict=True):
        torch.testing.assert_close(gradient, torch.zeros_like(p) if p.grad is None else p.grad, **close)
    for one, other in zip(after, elbo.buffers(), strict=True):
        torch.testing.assert_close(one, other, **close)


LATENTS = {"normal": Normal(0.0, 1.0), "bits": Bernoulli(0.5), "codes": OneHotCategorical(torch.ones(2))}


def cases():
    for cls in CHOICES["elbo"]:
        served = [name for name, q in LATENTS.items() if not issubclass(cls, Estimator) or cls.serves_latent(q)]
        kinds = served[:1] if "normal" in served else served
        yield from (pytest.param(cls, kind, id=f"{cls.__name__}-{kind}") for kind in kinds)


@pytest.mark.parametrize(("cls", "kind"), list(cases()))
def test_the_graph_is_the_objective_bit_for_bit(cls, kind, x):
    same(made(cls, kind), x, WRITES if issubclass(cls, elbolab.MovingAverage) else 0.0)


@pytest.mark.parametrize(("kind", "apart"), [("codes", 0.0), ("mixture", 0.0), ("full", WRITES)])
def test_other_parts_are_captured_too(kind, apart, x):
    same(Trace_ELBO(3, vectorize_particles=True, max_plate_nesting=1)(*programs(kind)), x, apart)


def test_nothing_is_changed_by_capturing(x):
    elbo = elbolab.MovingAverage()(*programs())
    elbo(x)
    before, generator = [v.clone() for v in elbo.state_dict().values()], torch.get_rng_state()
    capture(elbo, x)
    assert all(map(torch.equal, before, elbo.state_dict().values()))
    assert torch.equal(generator, torch.get_rng_state())


def test_replicates_are_draws_of_the_same_gradient(x):
    elbo = TraceMeanField_ELBO()(*programs())
    losses, gradients = replicate(elbo, x, 4000, memory=2**20)
    pyro.set_rng_seed(1)
    loop = torch.stack([elbo(x).detach() for _ in range(1000)])
    assert losses.shape == (4000,)
    assert losses.unique().numel() == 4000
    error = (losses.var() / 4000 + loop.var() / 1000).sqrt()
    assert (losses.mean() - loop.mean()).abs() < 4.5 * error
    assert 0.8 < losses.std() / loop.std() < 1.25
    assert all(g.shape == (4000, *p.shape) for g, p in zip(gradients.values(), trained(elbo).values(), strict=True))


class Asking(torch.nn.Module):
    def __init__(self, question):
        super().__init__()
        self.question = question
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, x):
        with pyro.plate("batch", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x)), 1.0))
            shift = self.weight if self.question(z) else -self.weight
            pyro.sample("x", dist.Normal(z[:, None] + shift, 1.0).to_event(1), obs=x)


class Plain(torch.nn.Module):
    def forward(self, x):
        with pyro.plate("batch", len(x)):
            pyro.sample("z", dist.Normal(torch.zeros(len(x)), 1.0))


@pytest.mark.parametrize(
    "question", [lambda z: z.sum() > 0, lambda z: z.sum().item() > 0, lambda z: float(z[0]) > 0, lambda z: z.tolist()]
)
def test_a_program_that_looks_at_values_is_refused_with_its_line(question, x):
    with pytest.raises(CannotCapture, match=r"test_capture.py:\d+ asks for a value"):
        capture(Trace_ELBO()(Asking(question), Plain()), x)


def test_a_graph_that_says_otherwise_is_refused(x, monkeypatch):
    monkeypatch.setattr(NoReadback, "__torch_function__", lambda self, f, types, a=(), k=None: f(*a, **(k or {})) + 0)
    with pytest.raises(CannotCapture):
        capture(Trace_ELBO()(Asking(lambda z: True), Plain()), x)


def test_scalars_and_products_are_compiled_to_the_same_numbers():
    def function(a, b, bias, scalar):
        ab = torch.addmm(bias, a, b)
        return [(ab * scalar.pow(3)).relu(), (a.t() @ ab) / (scalar + 1).sqrt()]

    inputs = [torch.randn(200, 160), torch.randn(160, 150), torch.randn(150), torch.tensor(1.7, dtype=torch.float64)]
    graph = trace(function, *inputs)
    found = compile_graph(graph, inputs)(*inputs)
    called = [node.target for node in graph.graph.nodes]
    assert [called.count(operation) for operation in (product, once)] == [2, 1]
    for one, other in zip(found, function(*inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_compiled_draws_are_the_eager_ones_whatever_they_are_for():
    def function(x):
        used_last, used_first, small = torch.rand(60, 500), torch.randn(60, 500), torch.randn(4)
        return [(x @ used_first.cumsum(0)).sum() + small.sum(), used_last.cumsum(0)]

    x = torch.rand(5, 60)
    run = compile_graph(trace(function, x), [x])
    torch.manual_seed(0)
    found = run(x)
    torch.manual_seed(0)
    for one, other in zip(found, function(x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
