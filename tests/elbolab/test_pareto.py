"""Tails that are known, and the guide that has none."""

import pytest
import torch

from elbolab import evidence, pareto
from tests.elbolab.programs.test_densities import conjugate_guide, conjugate_model

pytest.importorskip("arviz_stats")


@pytest.mark.parametrize("k", [0.3, 0.7, 1.2])
def test_the_k_of_pareto_weights_is_found(k):
    log_weight = k * torch.distributions.Exponential(1.0).sample((4000, 30))  # P(w > t) = t^(-1/k)
    found = pareto.khat(log_weight)
    assert abs(found.mean() - k) < 0.1
    assert abs(pareto.khat(-log_weight).mean() - k) > 0.2, "the largest weights are looked at, not the smallest"


@pytest.mark.parametrize("memory", [2**14, 2**28])
def test_a_guide_that_is_too_narrow_is_seen_however_it_is_cut(memory):
    """Of q = N(m, s^2 v) beside the posterior N(m, v), k is (1 - s^2) / s^2, which few draws see less of."""
    x = torch.randn(9, 3, dtype=torch.float64)
    found = {
        s: evidence(conjugate_model, conjugate_guide(s), x, samples=2000, memory=memory, khat=True)
        for s in (1, 1.5, 0.4)
    }
    assert (found[1].khat < -5).all()
    assert (found[1.5].khat < 0.3).all()
    assert found[0.4].khat.mean() > pareto.largest_trusted(2000)
    assert found[1].effective == pytest.approx(2000)
    assert (found[0.4].effective < 1000).all()
    assert found[0.4].khat.shape == (9,)


def test_effective_draws_are_those_of_the_weights():
    """A share of sqrt(2 s^2 - 1) / s^2 of the draws, where the guide is s times as wide as the posterior."""
    x = torch.randn(1, 3, dtype=torch.float64).expand(50, 3)
    found = evidence(conjugate_model, conjugate_guide(1.5), x, samples=1000)
    share = (2 * 1.5**2 - 1) ** 0.5 / 1.5**2
    assert found.effective.mean() / 1000 == pytest.approx(share, rel=0.02)
    assert found.khat is None


def test_too_few_draws_and_a_missing_library_are_refused(monkeypatch):
    x = torch.randn(2, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="100 at least"):
        evidence(conjugate_model, conjugate_guide(1.5), x, samples=99, khat=True)
    monkeypatch.setattr(pareto, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install"):
        evidence(conjugate_model, conjugate_guide(1.5), x, samples=200, khat=True)


def test_what_is_trusted_grows_with_the_draws():
    assert pareto.largest_trusted(100) == pytest.approx(0.5)
    assert pareto.largest_trusted(10**6) == 0.7
