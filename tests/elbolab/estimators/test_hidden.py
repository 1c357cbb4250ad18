"""What a program does beside its sample statements: draws of its own, and values taken out of autograd's graph."""

import math
import random

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
import torch.nn.functional as F
from pyro import poutine
from pyro.distributions import constraints
from pyro.infer.autoguide import AutoNormal, init_to_uniform
from torch import nn

import elbolab
from elbolab import IWAE, PIWAE, REINFORCE, RLOO, DReG, Pathwise, StickingTheLanding, stop_gradient
from elbolab.estimators import Estimator
from elbolab.estimators.base import concrete
from elbolab.programs import runs
from elbolab.programs.reading import read

X = torch.tensor([1.3, -0.4, 0.8])


@pytest.fixture(autouse=True)
def store(one_store):
    """Parameters of one test alone."""


def drawing(z):
    """A model, and a guide that draws z in a way of its own."""

    def model(x):
        w = pyro.param("w", torch.tensor(2.0))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(w * z, 0.7), obs=x)

    def guide(x):
        m, s = pyro.param("m", torch.tensor(0.3)), pyro.param("s", torch.tensor(0.5), constraint=constraints.positive)
        with pyro.plate("data", len(x)):
            z(m, s)

    return model, guide


def observing(mean):
    """A model that observes x about a mean of its own, and a guide."""

    def model(x):
        w = pyro.param("w", torch.tensor(2.0))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(mean(w, z, x), 0.7), obs=x)

    return model, drawing(lambda m, s: pyro.sample("z", dist.Normal(m, s)))[1]


def hidden(z):
    with poutine.block():
        return z + pyro.sample("e", dist.Normal(0.0, 1.0))


DRAWS = {
    "noise and a point mass": drawing(lambda m, s: pyro.sample("z", dist.Delta(m + s * torch.randn(3)))),
    "rsample": drawing(lambda m, s: pyro.sample("z", dist.Delta(dist.Normal(m, s).rsample([3])))),
    "sample": drawing(lambda m, s: pyro.sample("z", dist.Delta(dist.Normal(m, s).sample([3])))),
    "a bit": drawing(lambda m, s: pyro.sample("z", dist.Normal(torch.bernoulli(m.sigmoid()), s))),
    "a Gumbel softmax": drawing(
        lambda m, s: pyro.sample("z", dist.Normal(F.gumbel_softmax(torch.stack([m, s]))[0], s))
    ),
    "noise in the model": observing(lambda w, z, x: w * z + torch.rand(3)),
    "filled in place": observing(lambda w, z, x: w * z + torch.empty(3).normal_()),
    "which branch": observing(lambda w, z, x: w * z if torch.rand(()) < 0.5 else z),
    "a batch of its own": observing(lambda w, z, x: w * z + x[torch.randint(3, (3,))]),
    "NumPy's": observing(lambda w, z, x: w * z + float(np.random.randn())),
    "Python's": observing(lambda w, z, x: w * z + torch.tensor([random.random() for _ in range(3)])),
    "a blocked statement": observing(lambda w, z, x: w * hidden(z)),
    "scripted": observing(lambda w, z, x: torch.jit.script(_noisy)(z)),
}


def _noisy(z: torch.Tensor) -> torch.Tensor:
    return z + torch.randn_like(z)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("programs", DRAWS.values(), ids=DRAWS)
def test_a_draw_outside_of_sample_statements_is_refused_by_its_line(programs):
    for estimator in (Pathwise(), RLOO(2), DReG(2)):
        with pytest.raises(ValueError, match=r"depends on a draw by (\w+ in test_hidden.py:\d+|NumPy's .*): make it a"):
            estimator.loss(*programs, X)


def test_a_blocked_model_is_refused():
    model, guide = drawing(lambda m, s: pyro.sample("z", dist.Normal(m, s)))
    with pytest.raises(ValueError, match="the model's x depends on a draw by normal"):
        RLOO(2).loss(poutine.block(model, hide=["z"]), lambda x: pyro.param("m", torch.tensor(0.3)), X)


def _start(name, **options):
    return pyro.param(name, torch.rand(3), **options)


HARMLESS = {
    "where a parameter starts": drawing(lambda m, s: pyro.sample("z", dist.Normal(_start("a"), s))),
    "where a positive one starts": drawing(
        lambda m, s: pyro.sample("z", dist.Normal(m, _start("b", constraint=constraints.positive)))
    ),
    "a draw that goes nowhere": drawing(lambda m, s: (torch.randn(3), pyro.sample("z", dist.Normal(m, s)))),
    "a record": drawing(lambda m, s: (pyro.deterministic("r", torch.randn(3)), pyro.sample("z", dist.Normal(m, s)))),
    "a network that is made": observing(lambda w, z, x: nn.Linear(1, 1)(z[..., None])[..., 0]),
    "zeros like a parameter": observing(lambda w, z, x: w * z + torch.zeros_like(w) + torch.ones(3).expand_as(z)),
    "types like a parameter": observing(lambda w, z, x: w * z + (x > 0).to(w)),
    "a decision by a parameter": observing(lambda w, z, x: w * z if w > 0 else z),
    "where NumPy says to start": drawing(
        lambda m, s: pyro.sample("z", dist.Normal(pyro.param("c", torch.tensor(np.random.randn(3))), s))
    ),
    "a number that is asserted": observing(lambda w, z, x: w * z if math.isfinite(w.item()) else z),
    "a frozen parameter": observing(lambda w, z, x: w.detach() * z),
    "a frozen network": observing(lambda w, z, x: w * z + _features(x)),
    "meant": observing(lambda w, z, x: stop_gradient(w) * z + w),
    "spectral normalisation": observing(lambda w, z, x: w * _spectral(z[..., None])[..., 0]),
    "compiled": observing(lambda w, z, x: w * torch.compile(nn.Linear(1, 1))(z[..., None])[..., 0]),
}
_NETWORK, _spectral = nn.Linear(1, 1), nn.utils.parametrizations.spectral_norm(nn.Linear(1, 1))


def _features(x):
    with torch.no_grad():
        return _NETWORK(x[..., None])[..., 0]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("programs", HARMLESS.values(), ids=HARMLESS)
def test_what_is_harmless_is_served(programs):
    for estimator in (Pathwise(), RLOO(2), DReG(2)):
        estimator.loss(*programs, X)


def test_a_subsample_that_the_user_draws_is_the_plates():
    def program(x, observed):
        with pyro.plate("data", 3, subsample=torch.randperm(3)[:2]) as i:
            z = pyro.sample("z", dist.Normal(0.0, pyro.param("s", torch.tensor(1.0))))
            if observed:
                pyro.sample("x", dist.Normal(z, 1.0), obs=x[i])

    Pathwise().loss(lambda x: program(x, True), lambda x: program(x, False), X)


def test_what_an_autoguide_starts_from_is_no_draw():
    model, _ = drawing(None)
    for estimator in (Pathwise(), RLOO(2)):
        estimator.loss(model, AutoNormal(model, init_loc_fn=init_to_uniform), X)
        estimator.loss(model, AutoNormal(model, init_loc_fn=lambda site: torch.randn(3)), X)


# ---- gradients that are lost ---------------------------------------------------------------------------------------


def _quietly(w):
    with torch.no_grad():
        return 2 * w


@torch.no_grad()
def _decorated(w):
    return 2 * w


LOST = {
    "detach": observing(lambda w, z, x: w.detach() * z + w),
    "data": observing(lambda w, z, x: w.data * z + w),
    "no_grad": observing(lambda w, z, x: _quietly(w) * z + w),
    "decorated": observing(lambda w, z, x: _decorated(w) * z + w),
    "a copy": observing(lambda w, z, x: z.new_tensor(w) * z),
    "a number": observing(lambda w, z, x: w.item() * z),
    "numpy": observing(lambda w, z, x: torch.tensor(w.detach().numpy() * 2) * z),
    "through a point mass": drawing(
        lambda m, s: pyro.sample(
            "z", dist.Delta(m.detach() + pyro.sample("e", dist.Normal(m, s), infer={"is_auxiliary": True}))
        )
    ),
}


@pytest.mark.filterwarnings("ignore:To copy construct")
@pytest.mark.parametrize("programs", LOST.values(), ids=LOST)
def test_a_parameter_that_loses_a_part_of_its_gradient_is_refused(programs):
    for estimator in (Pathwise(), RLOO(2), DReG(2)):
        with pytest.raises(ValueError, match=r"loses one by \w+ in test_hidden.py:\d+; elbolab.stop_gradient"):
            estimator.loss(*programs, X)


def test_a_latent_that_loses_its_path_is_for_score_functions():
    programs = observing(lambda w, z, x: w * z.detach() + z)
    for estimator in (Pathwise(), DReG(2)):
        with pytest.raises(ValueError, match="the guide's z goes through detach in test_hidden.py"):
            estimator.loss(*programs, X)
    REINFORCE().loss(*programs, X)


# ---- networks that are random by themselves ------------------------------------------------------------------------


def test_dropout_is_served_by_who_runs_a_program_once():
    in_guide = drawing(lambda m, s: pyro.sample("z", dist.Normal(F.dropout(torch.stack([m] * 3)), s)))
    in_model = observing(lambda w, z, x: w * F.dropout(z))
    assert "dropout" in read(*in_guide, (X,)).guide["z"].network
    for estimator in (Pathwise(), RLOO(2), IWAE(2), DReG(2), StickingTheLanding()):
        estimator.loss(*in_model, X)
    for estimator in (Pathwise(), RLOO(2), IWAE(2)):
        estimator.loss(*in_guide, X)
    for estimator, programs in ((DReG(2), in_guide), (StickingTheLanding(), in_guide), (PIWAE(2), in_model)):
        with pytest.raises(ValueError, match=r"not random by themselves .*depends on dropout in test_hidden.py"):
            estimator.loss(*programs, X)


def _latents(kind):
    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", kind(torch.zeros(3, 2)))
            pyro.sample("x", dist.Normal(pyro.param("w", torch.tensor(2.0)) * z[..., 0], 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", kind(pyro.param("m", torch.ones(3, 2))))

    return model, guide


KINDS = [
    lambda m: dist.Normal(m, 1.0).to_event(1),
    lambda m: dist.Bernoulli(logits=m).to_event(1),
    lambda m: dist.OneHotCategorical(logits=m),
]


def test_who_runs_a_program_once_says_so(monkeypatch):
    """Counted, for everyone and every kind of latent."""
    counts, run = [0, 0], runs.Runs._run
    monkeypatch.setattr(
        runs.Runs, "_run", lambda self, p, w, *rest: counts.__setitem__(w, counts[w] + 1) or run(self, p, w, *rest)
    )
    seen = {}
    for cls in concrete(Estimator):
        for kind in KINDS:
            model, guide = _latents(kind)
            if not cls.serves(read(model, guide, (X,))):
                continue
            estimator = cls()
            estimator.loss(model, guide, X)
            counts[:] = [0, 0]
            estimator.loss_and_grads(model, guide, X)
            again = "both" if counts[0] > 1 else "guide" if counts[1] > 1 else "none"
            assert ["none", "guide", "both"].index(again) <= ["none", "guide", "both"].index(cls.repeats), cls
            seen.setdefault(cls, set()).add(again)
    idle = {cls.__name__ for cls, found in seen.items() if cls.repeats not in found}
    assert idle == {"PerSite", "ARMS"}, "the one as it depends on what it does with each latent, the other by design"
    assert len(seen) == len(concrete(Estimator))


# ---- supports and jumps that parameters move -----------------------------------------------------------------------


def bounded(kind):
    """z on an interval that a parameter b says: the gradient of its bound is that of an integral to b."""

    def model(x):
        with pyro.plate("data", 1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 0.5), obs=torch.tensor([0.8]))

    def guide(x):
        with pyro.plate("data", 1):
            pyro.sample("z", kind(pyro.param("b", torch.tensor(1.5))))

    return model, guide


MOVING = {
    "a uniform": lambda b: dist.Uniform(0.0, b),
    "a moved uniform": lambda b: dist.TransformedDistribution(
        dist.Uniform(torch.zeros(1), 1.0), [dist.transforms.AffineTransform(0.0, b)]
    ),
    "a moved beta": lambda b: dist.AffineBeta(2.0, 2.0, 0.0, b),
    "a part of the unit interval": lambda b: dist.TransformedDistribution(
        dist.Uniform(torch.zeros(1), 0.5),
        [dist.transforms.SigmoidTransform().inv, dist.transforms.AffineTransform(0.0, b)],
    ),
    "a Pareto": lambda b: dist.Pareto(b, 3.0),
}
STAYING = {
    "a beta": lambda b: dist.Beta(b, 2.0),
    "of the unit interval": lambda b: dist.TransformedDistribution(
        dist.Uniform(torch.zeros(1), 1.0),
        [dist.transforms.SigmoidTransform().inv, dist.transforms.AffineTransform(0.0, b)],
    ),
    "of the positive numbers": lambda b: dist.TransformedDistribution(
        dist.Gamma(torch.ones(1), 1.0), [dist.transforms.ExpTransform().inv, dist.transforms.AffineTransform(0.0, b)]
    ),
    "log-normal": lambda b: dist.LogNormal(b, 1.0),
    "a Gamma": lambda b: dist.Gamma(b, 1.0),
    "a Gumbel": lambda b: dist.Gumbel(b, 1.0),
    "a Kumaraswamy": lambda b: dist.Kumaraswamy(b, 2.0),
    "a flow": lambda b: dist.TransformedDistribution(
        dist.Normal(torch.zeros(1), 1.0).to_event(0), [dist.transforms.AffineTransform(b, 2.0)]
    ),
}


@pytest.mark.parametrize("kind", MOVING.values(), ids=MOVING)
def test_a_support_that_a_parameter_moves_is_for_total_derivatives(kind):
    Pathwise().loss(*bounded(kind), X), IWAE(2).loss(*bounded(kind), X)
    for estimator in (REINFORCE(), RLOO(2), StickingTheLanding(), DReG(2), elbolab.VIMCO(2)):
        with pytest.raises(ValueError, match="the guide's z is .* with a support that moves with a parameter"):
            estimator.loss(*bounded(kind), X)


@pytest.mark.parametrize("kind", STAYING.values(), ids=STAYING)
def test_a_support_that_stays_is_served(kind):
    for estimator in (REINFORCE(), StickingTheLanding(), DReG(2)):
        estimator.loss(*bounded(kind), X)


def test_the_score_of_a_moving_support_would_be_wrong(monkeypatch):
    """d/db of 1/b int_0^b f has the term f(b) / b, which no score has."""
    model, guide = bounded(MOVING["a uniform"])
    b = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    z = b * (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    log_p = dist.Normal(0.0, 1.0).log_prob(z) + dist.Normal(z, 0.5).log_prob(torch.tensor(0.8))
    (exact,) = torch.autograd.grad(-(log_p.mean() + b.log()), b)
    found = {}
    for cls in (Pathwise, REINFORCE, StickingTheLanding):
        monkeypatch.setattr(cls, "total_derivative", True)
        pyro.get_param_store().clear()
        cls(100_000).loss_and_grads(model, guide, X)
        found[cls] = pyro.get_param_store()._params["b"].grad.item()
    assert found[Pathwise] == pytest.approx(exact.item(), abs=0.02)
    for cls in (REINFORCE, StickingTheLanding):
        assert abs(found[cls] - exact.item()) > 0.3


def test_a_jump_that_a_parameter_moves_is_for_nobody():
    """dE[1(z > w)] / dw = -q(w), of which neither a path nor a score has anything."""
    for estimator in (Pathwise(), REINFORCE(), RLOO(2)):
        with pytest.raises(ValueError, match="the guide's z goes through gt in test_hidden.py"):
            estimator.loss(*observing(lambda w, z, x: (z > w).to(z)), X)
    RLOO(2).loss(*observing(lambda w, z, x: w * (z > 0.5).to(z)), X)


# ---- draws whose gradient is not that of their expectation ---------------------------------------------------------


def test_straight_through_draws_are_no_paths():
    def programs(kind):
        def model(x):
            with pyro.plate("data", 3):
                z = pyro.sample("z", kind(torch.zeros(2)))
                pyro.sample("x", dist.Normal(z[..., 0], 1.0), obs=x)

        def guide(x):
            with pyro.plate("data", 3):
                pyro.sample("z", kind(pyro.param("l", torch.tensor([0.3, -0.2]))))

        return model, guide

    codes = programs(lambda logits: dist.OneHotCategoricalStraightThrough(logits=logits.expand(3, 2)))
    for estimator in (Pathwise(), DReG(2), elbolab.MuProp()):
        with pytest.raises(ValueError, match="OneHotCategoricalStraightThrough"):
            estimator.loss(*codes, X)
    RLOO(2).loss(*codes, X), elbolab.PerSite(2).loss(*codes, X)
    relaxed = programs(
        lambda logits: dist.RelaxedOneHotCategoricalStraightThrough(torch.tensor(0.5), logits=logits.expand(3, 2))
    )
    for estimator in (Pathwise(), RLOO(2)):
        with pytest.raises(ValueError, match="latents whose density is that of their values"):
            estimator.loss(*relaxed, X)
