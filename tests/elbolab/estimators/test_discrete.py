"""Estimators for bits and one-hot codes against exact gradients: 100,000 draws of every coordinate, a z-score each."""

import pytest
import torch

from elbolab.estimators import antithetic, codes, control_variates
from elbolab.estimators.antithetic import ARM, DisARM
from elbolab.estimators.base import concrete
from elbolab.estimators.control_variates import REBAR, RELAX, MuProp
from elbolab.estimators.enumeration import Enumeration
from elbolab.estimators.relaxed import Concrete, GumbelRao, STGumbel, StraightThrough
from elbolab.estimators.score import REINFORCE, MovingAverage
from elbolab.oracles import Bits, Codes, OneBit
from tests.elbolab.replicates import PARTS, gradients, part
from tests.elbolab.statistics import worst

ORACLES = {
    # A beta that is taken for a part of the density would be seen; and at this seed 5 % are, with REINFORCE too.
    "bits": lambda: Bits(beta=0.7, seed=6),
    "codes": Codes,
    "one": lambda: OneBit((0.2,)),
}
BITS_ALONE = (ARM, DisARM)
UNBIASED = (REINFORCE, MovingAverage, *BITS_ALONE, MuProp, REBAR, RELAX)
BIASED = (Concrete, StraightThrough, STGumbel, GumbelRao)


def cases(classes, oracles=tuple(ORACLES)):
    return [
        pytest.param(name, cls, id=f"{name}-{cls.__name__}")
        for name in oracles
        for cls in classes
        if not (name == "codes" and cls in BITS_ALONE)
    ]


def drawn(name, estimator):
    count, copies = (100, 1000) if name == "codes" else (2500, 40)
    return gradients(estimator, ORACLES[name](), count, copies)


@pytest.mark.parametrize(("name", "cls"), cases(UNBIASED))
def test_unbiased(name, cls):
    estimator = cls(num_particles=2 if name == "codes" else 1)
    assert estimator.unbiased
    draws, exact = drawn(name, estimator)
    score, bound = worst(draws, exact)
    assert score < bound
    for which in ("loss", *PARTS):
        wrong = {name: 1.05 * value for name, value in part(exact, which).items()}
        score, bound = worst(part(draws, which), wrong)
        assert score > bound, "a bias of 5 % has to be seen"


@pytest.mark.parametrize("cls", BITS_ALONE)
def test_pairs_are_averaged(cls):
    draws, exact = gradients(cls(num_particles=3), Bits(), 2000, 10)
    score, bound = worst(draws, exact)
    assert score < bound


@pytest.mark.parametrize(("name", "cls"), cases(BIASED, ("bits", "codes")))
def test_biased_for_the_guide_alone(name, cls):
    estimator = cls()
    assert not estimator.unbiased
    draws, exact = drawn(name, estimator)
    for which in ("loss", "model"):
        score, bound = worst(part(draws, which), part(exact, which))
        assert score < bound
    score, bound = worst(part(draws, "guide"), part(exact, "guide"))
    assert score > bound


WRONG = {
    "DisARM without |l|": (antithetic.DisARM, "factor", lambda self, u, logits, b, c: 0.5 * (b - c) * logits.sigmoid()),
    "ARM of one sign": (antithetic.ARM, "factor", lambda self, u, logits, b, c: (u - 0.5).abs()),
    "MuProp without the mean's gradient": (codes.Codes, "mean", lambda self: _constant(_mean(self))),
    "REBAR's noise given another z": (codes.Bits, "noisy", lambda logits, z: _noisy(logits, 1 - z)),
    "REBAR's paths are the same": (codes.Codes, "shifted", lambda self, noisy: noisy),
    "REBAR's paths are swapped": (control_variates, "_relaxed", lambda *a: _swapped(*a)),
    "REINFORCE with beta in the density": (codes.Draw, "log_density", lambda self, *a, **k: self.log_q(*a, **k)),
}
_mean, _noisy, _relaxed = codes.Codes.mean, codes.Bits.noisy, control_variates._relaxed


def _constant(values):
    return {name: value.detach() for name, value in values.items()}


def _swapped(draw, drawn, after, before, temperature):
    return _relaxed(draw, drawn, before, after, temperature)


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_seen(mistake, monkeypatch):
    owner, attribute, wrong = WRONG[mistake]
    static = attribute == "noisy" and owner is codes.Bits
    monkeypatch.setattr(owner, attribute, staticmethod(wrong) if static else wrong)
    cls = {cls.__name__: cls for cls in UNBIASED}[mistake.split()[0].removesuffix("'s")]
    score, bound = worst(*drawn("bits", cls()))
    assert score > bound


def test_a_mistake_in_the_noise_of_codes_is_seen(monkeypatch):
    right = codes.OneHot.noisy
    # As if all that is not drawn were equally likely: the value is one that could be, its distribution is wrong.
    monkeypatch.setattr(codes.OneHot, "noisy", staticmethod(lambda logits, z: right(0.5 * logits, z)))
    score, bound = worst(*drawn("codes", REBAR()))
    assert score > bound


def test_every_class_of_these_modules_is_tested():
    ours = {antithetic.__name__, control_variates.__name__, "objective.relaxed", "objective.enumeration"}
    found = {cls for cls in concrete(codes.Estimator) if cls.__module__ in ours}
    assert found <= {*UNBIASED, *BIASED, Enumeration}


def test_a_loss_can_be_read_without_gradients():
    oracle = Bits()
    for cls in (*UNBIASED, *BIASED, Enumeration):
        estimator = cls()
        estimator.loss(oracle.model, oracle.guide, oracle.x)  # what is lazy learns its size
        torch.manual_seed(3)
        expected = estimator.differentiable_loss(oracle.model, oracle.guide, oracle.x).item()
        torch.manual_seed(3)
        assert estimator.loss(oracle.model, oracle.guide, oracle.x) == expected
