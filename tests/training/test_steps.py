"""The compiled step is the eager step: bit for bit before it is compiled, to rounding after."""

import math

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO

from data import Digits
from elbolab import CannotCapture, DoubleCV
from guide import posteriors
from model import priors
from training import Experiment, Processes, State
from training import compiled_step as module
from training.compiled_step import Compiled
from training.eager_step import Eager

pytestmark = pytest.mark.usefixtures("one_thread")
INDEX = torch.arange(32)
OPTIMIZERS = {
    "Adam": lambda p: torch.optim.Adam(p, lr=1e-3),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=1e-3),
    "SGD": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9),
    "plain SGD": lambda p: torch.optim.SGD(p, lr=1e-3),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=1e-3),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=1e-3),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=1e-2),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=1e-3),
}


def run(step, count, *, elbo=None, optimizer="Adam", double=False, clip=math.inf, hidden=16, **parts):
    """Losses and parameters of a run whose first step is eager and whose others are taken by `step`."""
    lab = Experiment(data=Digits(), elbo=elbo or TraceMeanField_ELBO(), latent=3, hidden=hidden, **parts)
    if double:
        lab.objective.double()
        object.__setattr__(lab.dataset, "train", lab.dataset.train.double())
    pyro.enable_validation(False)
    state = State(lab.objective, OPTIMIZERS[optimizer](list(lab.objective.parameters())), lab.device, Processes())
    pyro.set_rng_seed(1)
    first, others, losses = Eager(state, lab.dataset, clip), None, []
    for i in range(count):
        if i == 1:
            others = step(lab, state, clip)
        (others or first)(INDEX + i)
        losses.append(state.mean(len(INDEX)))
    assert (others or first).finite(look=True)
    assert state.step == count
    return losses, [p.detach().clone() for p in lab.objective.parameters()]


def eager(lab, state, clip):
    return Eager(state, lab.dataset, clip)


def compiled(lab, state, clip):
    return Compiled(state, lab.dataset, clip, INDEX)


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setattr(module, "compile_graph", lambda graph, examples: graph)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_graph_is_the_eager_step_in_float64(uncompiled, optimizer):
    elbo = (Trace_ELBO if "SGD" in optimizer else TraceMeanField_ELBO)()
    options = {"elbo": elbo, "double": True, "optimizer": optimizer, "clip": 5.0}
    expected, found = (run(step, 5, **options) for step in (eager, compiled))
    close = 1e-9 if optimizer == "NAdam" else 1e-13  # NAdam keeps a product of its own in float32
    assert found[0] == pytest.approx(expected[0], rel=close)
    for one, other in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(one, other, rtol=10 * close, atol=close)


def test_an_optimiser_that_needs_python_numbers_is_named(uncompiled):
    OPTIMIZERS["Adafactor"] = lambda p: torch.optim.Adafactor(p, lr=1e-3)
    with pytest.raises(CannotCapture, match="Adafactor decides by a value"):
        run(compiled, 2, optimizer="Adafactor")


def test_from_the_first_step_that_is_not_finite_nothing_changes(uncompiled):
    lab = Experiment(data=Digits(), latent=3, hidden=16)
    state = State(lab.objective, OPTIMIZERS["Adam"](list(lab.objective.parameters())), lab.device, Processes())
    Eager(state, lab.dataset, math.inf)(INDEX)
    step = Compiled(state, lab.dataset, math.inf, INDEX)
    step(INDEX)
    assert step.finite(look=True)
    good = [p.detach().clone() for p in lab.objective.parameters()]
    lab.set_beta(math.inf)
    step(INDEX)
    lab.set_beta(1.0)
    step(INDEX)
    assert not step.finite(look=True)
    assert state.step == 2, "the good ones"
    assert all(torch.equal(p, q) for p, q in zip(lab.objective.parameters(), good, strict=True))


class Spiky(torch.nn.Module):
    """An objective whose value stays finite where a gradient of it is not."""

    def __init__(self, objective):
        super().__init__()
        self.objective, self.weight = objective, torch.nn.Parameter(torch.ones(3))
        self.register_buffer("slope", torch.ones(()))

    def forward(self, x):
        return self.objective(x) + (self.weight * self.slope).sqrt().sum()


def test_a_gradient_that_is_not_finite_stops_a_compiled_step_whose_loss_is(uncompiled):
    lab = Experiment(data=Digits(), latent=3, hidden=16)
    objective = Spiky(lab.objective)
    state = State(objective, OPTIMIZERS["Adam"](list(objective.parameters())), lab.device, Processes())
    Eager(state, lab.dataset, math.inf)(INDEX)
    step = Compiled(state, lab.dataset, math.inf, INDEX)
    objective.slope.zero_()
    assert objective(lab.dataset.batch(INDEX)).isfinite()
    before = [p.detach().clone() for p in objective.parameters()]
    step(INDEX)
    assert not step.finite(look=True)
    assert state.step == 1
    assert all(torch.equal(p, q) for p, q in zip(objective.parameters(), before, strict=True))


@pytest.mark.parametrize("elbo", [pytest.param(Trace_ELBO, marks=pytest.mark.slow), TraceMeanField_ELBO])
def test_the_compiled_graph_is_the_eager_step_to_rounding(elbo):
    expected, found = (run(step, 100, elbo=elbo(), hidden=32) for step in (eager, compiled))
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    for one, other in zip(found[1], expected[1], strict=True):
        assert (one - other).norm() <= 1e-5 * other.norm()


def test_a_single_number_that_an_estimator_learns_is_moved_as_by_the_eager_step(uncompiled):
    parts = {"prior": priors.Bernoulli, "guide": posteriors.Bernoulli}
    (before, *_), (after, *_) = (run(step, 3, elbo=DoubleCV(2), **parts) for step in (eager, compiled))
    assert after == pytest.approx(before, rel=1e-5)
