"""The sum over all codes: against the oracles, against Pyro's enumeration, and what it refuses."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import TraceEnum_ELBO
from torch import nn

from elbolab.estimators import enumeration
from elbolab.estimators.control_variates import REBAR
from elbolab.estimators.enumeration import Enumeration
from elbolab.graph.inductor import compile_graph
from elbolab.graph.trace import trace
from elbolab.oracles import Bits, Codes, OneBit
from elbolab.validation import unvalidated
from tests.elbolab.replicates import gradients


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def exact(oracle):
    draws, expected = gradients(Enumeration(), oracle, 3)
    close(draws, {name: value.expand(3, *value.shape) for name, value in expected.items()})


@pytest.mark.parametrize("oracle", [Bits, lambda: Bits(4, beta=0.3), Codes, lambda: OneBit((0.2, 0.7))])
def test_exact_and_without_variance(oracle):
    exact(oracle())


def test_a_density_with_beta_in_it_is_not_exact(monkeypatch):
    monkeypatch.setattr(enumeration.Draw, "log_density", lambda self, *a: self.log_q(*a))
    with pytest.raises(AssertionError):
        exact(Bits(beta=0.3))


class Chain(nn.Module):
    """Two bits and a third latent, a bit or a code; each depends on those before if `linked`, and x on all of them."""

    def __init__(self, *, linked, coded=True, observes=False):
        super().__init__()
        self.own, self.link = nn.Parameter(torch.randn(5).double()), nn.Parameter(torch.randn(5).double())
        self.linked, self.coded, self.observes = linked, coded, observes
        # Pyro sums out the guide's latents; the model's are replayed.
        self.infer = {} if observes else {"enumerate": "parallel"}

    def logits(self, i, x, earlier):
        return self.own[i] * x + self.link[i] * earlier if self.linked else self.own[i] * x + 0.0 * self.link[i]

    def forward(self, x):
        with pyro.plate("batch", len(x)):
            z = torch.zeros(()).double()
            for i in range(2 if self.coded else 3):
                z = z + pyro.sample(f"z{i}", dist.Bernoulli(logits=self.logits(i, x, z)), infer=self.infer)
            if self.coded:
                logits = self.logits(slice(2, 5), x[:, None], z[..., None])
                code = pyro.sample("z2", dist.OneHotCategorical(logits=logits), infer=self.infer)
                z = z + code @ torch.tensor([0.5, -1.0, 2.0]).double()
            if self.observes:
                pyro.sample("x", dist.Normal(z.tanh(), 1.0), obs=x)


X = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)


@pytest.mark.parametrize("linked", [False, True])
def test_several_latents_as_pyro_enumerates_them(linked):
    model, guide = Chain(linked=True, observes=True), Chain(linked=linked)
    parameters = [*model.parameters(), *guide.parameters()]
    found = []
    for elbo in (Enumeration(), TraceEnum_ELBO(max_plate_nesting=1)):
        loss = elbo.differentiable_loss(model, guide, X)
        found.append([loss, *torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)])
    close(*found)
    used = found[0][1:] if linked else found[0][1:-1]
    assert all(gradient.abs().min() > 1e-4 for gradient in (g[1:] for g in used)), "every parameter matters"


def test_latents_that_depend_on_one_another_are_refused_by_name():
    model = Chain(linked=True, coded=False, observes=True)
    REBAR().loss(model, Chain(linked=False, coded=False), X)
    with pytest.raises(ValueError, match="REBAR .* z1 depends .* Estimators for it: .*Enumeration,") as error:
        REBAR().loss(model, Chain(linked=True, coded=False), X)
    assert "MuProp" not in str(error.value)


def test_bits_in_a_plate_inside_a_datum_are_all_of_its_bits():
    logits = torch.randn(2, 3).double().requires_grad_()

    def guide(x):
        with pyro.plate("batch", 2, dim=-2), pyro.plate("bits", 3, dim=-1):
            pyro.sample("z", dist.Bernoulli(logits=logits))

    def model(x):
        with pyro.plate("batch", 2, dim=-2):
            with pyro.plate("bits", 3, dim=-1):
                z = pyro.sample("z", dist.Bernoulli(logits=torch.zeros(()).double()))
            pyro.sample("x", dist.Normal(z.sum(-1, keepdim=True).square(), 1.0), obs=x)

    def flat(program):
        def run(x):
            with pyro.plate("batch", 2):
                z = pyro.sample("z", dist.Bernoulli(logits=logits * (program is guide)).to_event(1))
                if program is model:
                    pyro.sample("x", dist.Normal(z.sum(-1).square(), 1.0), obs=x[:, 0])

        return run

    x = torch.tensor([[1.0], [4.0]]).double()
    found, expected = Enumeration(), Enumeration()
    loss = found.differentiable_loss(model, guide, x)
    same = expected.differentiable_loss(flat(model), flat(guide), x)
    close(loss, same)
    close(*(torch.autograd.grad(one, logits)[0] for one in (loss, same)))
    trace = poutine.trace(guide).get_trace(x)
    assert trace.nodes["z"]["value"].shape == (2, 3)


def test_too_many_values_are_refused():
    oracle = Bits(5)
    Enumeration(limit=32).loss(oracle.model, oracle.guide, oracle.x)
    with pytest.raises(ValueError, match="32 of them, and limit = 31"):
        Enumeration(limit=31).loss(oracle.model, oracle.guide, oracle.x)


def test_codes_are_enumerated_in_a_compiled_graph_too():
    oracle = Codes(3)
    loss = Enumeration()(oracle.model, oracle.guide)
    expected = loss(oracle.x)
    with unvalidated():
        graph = trace(lambda x: [loss(x).detach()], oracle.x)
    close(compile_graph(graph, [oracle.x])(oracle.x)[0], expected)
