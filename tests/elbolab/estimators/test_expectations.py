"""Estimators whose only chance is the guide's draws: their expectation is summed, and is the gradient to 12 digits."""

import math

import pytest
import torch

from elbolab.estimators import multisample_score, stein
from elbolab.estimators.multisample_score import OVIS, OVISMonteCarlo, VIMCOStar
from elbolab.estimators.relaxed import GappedStraightThrough, ReinMax, StraightThrough
from elbolab.estimators.score import RLOO, VIMCO
from elbolab.estimators.stein import RODEO, DoubleCV
from elbolab.estimators.thermodynamic import TVO
from elbolab.estimators.wake import WakePhi
from elbolab.oracles import Bits, Codes, OneBit
from tests.elbolab.estimators.expectations import exact, expectation, off
from tests.elbolab.replicates import PARTS

ORACLES = {
    "bits": lambda: Bits(2, beta=0.7),  # a beta that is taken for a part of q's density would be seen
    "codes": Codes,
    "one": lambda: OneBit((0.2, 0.9)),
}


def rodeo(particles):
    """One that has learnt something."""
    estimator = RODEO(particles).double()
    estimator.strengths.data = torch.tensor([0.7, -0.4]).double()
    return estimator


UNBIASED = {
    "RLOO": lambda: RLOO(3),
    "VIMCO": lambda: VIMCO(3),
    "DoubleCV of 2": lambda: DoubleCV(2, strength=-0.8).double(),
    "DoubleCV of 3": lambda: DoubleCV(3, strength=0.5).double(),
    "RODEO of 2": lambda: rodeo(2),
    "RODEO of 3": lambda: rodeo(3),
    "VIMCOStar of 2": lambda: VIMCOStar(2),
    "VIMCOStar of 3": lambda: VIMCOStar(3),
    "VIMCOStar at alpha": lambda: VIMCOStar(3, alpha=0.4),
    "OVIS at gamma 0": lambda: OVIS(3, gamma=0.0),
    "OVISMonteCarlo": lambda: OVISMonteCarlo(2),
    "OVISMonteCarlo of 2": lambda: OVISMonteCarlo(2, samples=2),
    "TVO of one partition": lambda: TVO(3, partitions=1),
}


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("name", UNBIASED)
def test_the_expectation_is_the_gradient(name, oracle):
    assert max(off(*expectation(UNBIASED[name](), ORACLES[oracle]())).values()) < 1e-12


def _all(values):
    return values.mean(0, keepdim=True).expand_as(values)


WRONG = {
    "DoubleCV of 2": (stein, "others", _all),
    "RODEO of 2": (stein, "others", _all),
    "RODEO of 3": (
        stein.Codes,
        "mean",
        lambda self: {name: 0.9 * value.sigmoid() for name, value in self.logits.items()},
    ),
    "VIMCOStar of 3": (multisample_score, "log_rest", lambda log_weight: -log_weight.softmax(0)),
    "OVISMonteCarlo": (multisample_score, "log_rest", lambda log_weight: -log_weight.softmax(0)),
    "VIMCOStar of 2": (multisample_score.Draw, "log_density", lambda self, *a: self.log_q(*a)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_seen(name, monkeypatch):
    owner, attribute, wrong = WRONG[name]
    monkeypatch.setattr(owner, attribute, wrong)
    assert off(*expectation(UNBIASED[name](), Bits(2, beta=0.7)))["guide"] > 1e-3


@pytest.mark.parametrize("cls", [StraightThrough, ReinMax, GappedStraightThrough, lambda: ReinMax(temperature=1.5)])
@pytest.mark.parametrize("oracle", ["bits", "codes"])
def test_straight_through_is_biased_for_the_guide_alone(cls, oracle):
    estimator = cls()
    assert not estimator.unbiased
    found = off(*expectation(estimator, ORACLES[oracle]()))
    assert found["loss"] < 1e-12
    assert found["model"] < 1e-12
    assert 0.02 < found["guide"] < 0.5


def test_reinmax_is_exact_for_a_quadratic_signal():
    """(b - t)^2 is one; straight through is right for linear ones alone."""
    quadratic = OneBit((0.2, 0.9))
    assert off(*expectation(ReinMax(), quadratic))["guide"] < 1e-12
    assert off(*expectation(ReinMax(temperature=1.5), quadratic))["guide"] > 0.05
    assert off(*expectation(StraightThrough(), quadratic))["guide"] > 0.05


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_what_ovis_adds_is_the_wake_gradient(gamma):
    oracle = Bits(2, beta=0.7)
    found, plain = expectation(OVIS(3, gamma=gamma), oracle)[0], expectation(OVIS(3, gamma=0.0), oracle)[0]
    wake, _ = expectation(WakePhi(3), oracle)
    for name, value in found.items():
        added = gamma * wake[name] if name.startswith("guide") else 0.0
        torch.testing.assert_close(value, plain[name] + added, rtol=1e-12, atol=1e-12)
    estimator = OVIS(3, gamma=gamma)
    assert not estimator.unbiased
    assert off(*expectation(estimator, oracle))["guide"] > 0.02


@pytest.mark.parametrize("partitions", [2, 4])
def test_the_bias_of_tvo_falls_as_the_particles_grow(partitions):
    oracle = Bits(1, seed=1)
    assert not TVO(2).unbiased
    few, many = (off(*expectation(TVO(count, partitions=partitions), oracle)) for count in (5, 10))
    for part in ("loss", *PARTS):
        assert few[part] > 1e-4
        assert many[part] == pytest.approx(few[part] / 2, rel=0.2)


def test_more_partitions_bound_the_evidence_better():
    oracle = Bits()
    bounds = [TVO(5, partitions=n, first=0.03).targets(oracle)[0] for n in (1, 2, 4, 8, 200)]
    torch.testing.assert_close(bounds[0], oracle.elbo())
    for one, other in zip(bounds, [*bounds[1:], oracle.log_evidence()], strict=True):
        assert (one < other).all()
    assert (oracle.log_evidence() - bounds[-1]).max() < 0.05 * (oracle.log_evidence() - bounds[0]).max()


def test_one_partition_is_leave_one_out():
    oracle = Bits(2)
    torch.testing.assert_close(expectation(TVO(3, partitions=1), oracle), expectation(RLOO(3), oracle))


def test_vimco_star_is_exact_where_one_weight_is_nearly_all():
    weights = torch.tensor([[800.0, 3.0], [0.0, 3.0], [-3.0, -900.0]], dtype=torch.float64)
    rest = multisample_score.log_rest(weights)
    half = math.log(0.5)
    expected = torch.tensor([[-800 + math.log1p(math.exp(-3)), half], [0, half], [0, 0]], dtype=torch.float64)
    torch.testing.assert_close(rest, expected, rtol=1e-12, atol=1e-12)


def test_the_exact_gradients_are_of_what_is_reported():
    """The guide's target may be another, the model's has the value that is reported."""
    oracle = Bits(2)
    for cls in (VIMCOStar, OVIS, TVO):
        assert math.isfinite(exact(cls(3), oracle)["loss"])


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (DoubleCV, {"num_particles": 1}, "DoubleCV needs at least 2"),
        (RODEO, {"num_particles": 1}, "RODEO needs at least 2"),
        (VIMCOStar, {"num_particles": 1}, "VIMCOStar needs at least 2"),
        (VIMCOStar, {"alpha": 1.0}, "alpha = 1.0"),
        (OVIS, {"gamma": 1.1}, "gamma = 1.1"),
        (OVISMonteCarlo, {"samples": 0}, "samples = 0"),
        (TVO, {"partitions": 0}, "partitions = 0"),
        (TVO, {"first": 1.0}, "first = 1.0"),
        (GappedStraightThrough, {"gap": -1.0}, "gap = -1.0"),
        (ReinMax, {"temperature": 0.0}, "temperature = 0.0"),
    ],
)
def test_what_makes_no_sense_is_refused(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls(**options)
