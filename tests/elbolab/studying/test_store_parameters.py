"""Studies of programs in Pyro's usual style: a row and a gradient for every parameter, in the store or in a module."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from torch import nn
from torch.distributions import constraints

from elbolab import DReG, Pathwise, study
from elbolab.studying.replicated_objective import ReplicatedObjective

X = torch.tensor([-0.5, 2.0, 0.7])


pytestmark = pytest.mark.usefixtures("one_store")


def model(x):
    mean = pyro.param("mean", torch.tensor(0.3))
    spread = pyro.param("spread", torch.tensor(0.7), constraint=constraints.positive)
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(mean, 1.0))
        pyro.sample("x", dist.Normal(1.3 * z, spread), obs=x)


def guide(x):
    loc = pyro.param("loc", torch.tensor(0.1))
    scale = pyro.param("scale", torch.tensor(0.6), constraint=constraints.positive)
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(loc + 0.2 * x, scale))


class Amortised(nn.Module):
    """Two methods, each with a network that it gives to Pyro."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(1, 1), nn.Linear(1, 1)

    def model(self, x):
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(self.decoder(z[..., None])[..., 0], 0.7), obs=x)

    def guide(self, x):
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.encoder(x[:, None])[:, 0], 0.6))


class Both(nn.Module):
    """A module with a parameter of its own and one in the store."""

    def __init__(self):
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(0.3))

    def forward(self, x):
        slope = pyro.param("slope", torch.tensor(1.3))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(self.mean, 1.0))
            pyro.sample("x", dist.Normal(slope * z, 0.7), obs=x)


def functions():
    return model, guide


def methods():
    made = Amortised()
    return made.model, made.guide


def hidden():
    """Modules that nobody can see from outside."""
    made = [Amortised()]
    return (lambda x: made[0].model(x)), (lambda x: made[0].guide(x))


def automatic():
    return model, AutoNormal(model)


def mixed():
    return Both(), guide


CASES = {functions: (2, 2), methods: (2, 2), hidden: (2, 2), automatic: (2, 2), mixed: (2, 2)}


@pytest.mark.parametrize("programs", CASES, ids=lambda made: made.__name__)
def test_every_parameter_has_the_gradient_that_svi_would_use(programs):
    made = programs()
    subject = ReplicatedObjective("-", Pathwise(2), *made, X)
    assert tuple(sum(n.startswith(part) for n in subject.names) for part in ("model.", "guide.")) == CASES[programs]
    assert (subject.captured is None) == (programs is hidden)
    pyro.set_rng_seed(0)
    _, gradients = next(subject.draws(1, 2**20)) if subject.captured is None else _graph(subject)
    loose = {id(p): p for p in (*pyro.get_param_store()._params.values(), *subject.objective.parameters())}
    for p in loose.values():
        p.grad = None
    pyro.set_rng_seed(0)
    Pathwise(2).loss_and_grads(*made, X)
    expected = sorted(p.grad.sum().item() / len(X) for p in loose.values() if p.grad is not None)
    assert sorted(g.sum().item() for g in gradients.values()) == pytest.approx(expected, rel=1e-4)
    assert len(expected) == 4


def _graph(subject):
    """One draw of the graph, not vectorised, whose noise is the eager one's."""
    parameters = dict(subject.objective.named_parameters())
    values = [parameters[name].detach() for name in subject.captured.parameters]
    _, gradients, _ = subject.captured(values, list(subject.objective.buffers()), X)
    return None, {n: g / len(X) for n, g in zip(subject.captured.parameters, gradients, strict=True)}


def test_a_study_of_functions():
    rows = study(model, guide, X, {"ours": Pathwise(), "theirs": Trace_ELBO(), "DReG": DReG(1)}, replicates=2000)
    assert [row.how for row in rows] == ["vmap"] * 3
    assert [row.coordinates for row in rows] == [4] * 3
    assert [row.biased for row in rows] == [False] * 3


def test_programs_without_parameters_are_refused():
    def nothing(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match="none that are trained"):
        study(nothing, nothing, X, {"-": Pathwise()})
