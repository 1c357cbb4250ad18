"""Signals, errors and bias of many gradients, on numbers whose moments are known."""

import math

import pytest
import torch
from scipy import stats

from elbolab import IWAE, IWAEStickingTheLanding, study
from elbolab.oracles import NormalNormal
from elbolab.studying.moments import FALSE_ALARM, Moments, joint_score, worst_score


def moments(gradients, chunk=250):
    found = Moments()
    for part in gradients.split(chunk):
        found.add({"model.w": part[:, :-1], "guide.s": part[:, -1]})
    return found


def test_a_bias_of_all_coordinates_is_seen_jointly_under_a_bound_that_does_not_grow():
    torch.manual_seed(0)
    draws, signs = torch.randn(2000, 4001).double(), torch.sign(torch.randn(4001).double())
    known = {"model.w": torch.zeros(4000).double(), "guide.s": torch.zeros(()).double()}
    other = moments(0.1 * torch.randn(2000, 4001).double())
    for bias, seen in ((0.0, False), (4 / 2000**0.5, True)):
        found = moments(draws + bias * signs)
        for reference in (known, other):
            score, bound = joint_score(found, reference)
            assert (score > bound) == seen
    few = moments(draws[:, :3])
    assert joint_score(few, {"model.w": torch.zeros(2).double(), "guide.s": torch.zeros(())})[1] == bound
    assert worst_score(found, known)[1] > 1.1 * bound


def test_numbers_that_do_not_vary_are_compared_as_such():
    found = moments(torch.ones(500, 5).double())
    known = {"model.w": torch.ones(4).double(), "guide.s": torch.ones(()).double()}
    assert joint_score(found, known)[0] == 0
    assert joint_score(found, known | {"guide.s": torch.full((), 1.1).double()})[0] == float("inf")


def test_a_bound_is_shared_among_all_that_is_looked_at():
    """Two sides of 5 coordinates, and of 32 projections, each with its share of the probability of a false alarm."""
    found, known = moments(torch.randn(500, 5).double()), {"model.w": torch.zeros(4), "guide.s": torch.zeros(())}
    for score, looks in ((worst_score, 5), (joint_score, 32)):
        assert score(found, known)[1] == pytest.approx(stats.t.isf(FALSE_ALARM / 2 / looks, 499), rel=1e-12)


def test_a_coordinate_that_does_not_vary_has_no_signal_to_noise_ratio():
    draws = torch.randn(500, 3).double() + torch.tensor([2.0, -1.0, 0.0])
    draws[:, 1] = -1 + 1e-13 * torch.randn(500).double()  # rounding
    found = moments(draws)
    ratio = (draws[:, 0].mean() / draws[:, 0].std()).item()
    assert found.signal_to_noise("model.") == pytest.approx(ratio, rel=1e-9)
    assert found.signal_to_noise("model.", {"model.w": torch.tensor([3.0, 1.0])}) == pytest.approx(
        3 / draws[:, 0].std().item(), rel=1e-9
    )
    assert math.isnan(moments(torch.ones(500, 3).double()).signal_to_noise(""))


@pytest.mark.parametrize("chunk", [50, 500])
def test_the_error_of_a_variance_is_its_spread_over_studies(chunk):
    """Coordinates that vary together, of which no chi-square of independent ones would know."""
    torch.manual_seed(1)
    found = [moments(torch.randn(500, 1).double() + 0.1 * torch.randn(500, 20).double(), chunk) for _ in range(300)]
    for group in ("", "model."):
        spread = torch.tensor([one.total_variance(group) for one in found]).std()
        claimed = torch.tensor([one.variance_error(group) for one in found]).mean()
        assert claimed / spread == pytest.approx(1, abs=0.15)  # 300 studies know it to 4 %


def test_a_bias_is_no_signal():
    """At the posterior's mean and another width IWAE's gradient and the biased one's differ by a factor."""
    oracle = NormalNormal()
    subjects = {"IWAE": IWAE(4), "biased": IWAEStickingTheLanding(4)}
    programs = (oracle.model, oracle.guide, oracle.x)
    exact = study(*programs, subjects, replicates=4000, known=oracle)
    assert [row.signal for row in exact] == ["exact", "exact"]
    assert [row.biased for row in exact] == [False, True]
    relative = study(*programs, subjects, replicates=4000)
    assert [row.signal for row in relative] == ["mean", "mean of IWAE"]
    assert [row.snr_floor for row in exact + relative] == pytest.approx([0, 0] + 2 * [(2 / math.pi / 4000) ** 0.5])
    alone = study(*programs, {"biased": IWAEStickingTheLanding(4)}, replicates=4000)[0]
    assert alone.signal == "mean, bias included"
    assert relative[1].snr_guide == pytest.approx(exact[1].snr_guide, rel=0.1)
    assert abs(alone.snr_guide / exact[1].snr_guide - 1) > 0.2
