"""Annealed importance sampling beside the evidence of a linear-Gaussian model, which is a formula."""

import pyro
import pyro.distributions as dist
import pytest
import torch

from elbolab import evidence
from elbolab.judging import annealed, annealing, sandwiched
from elbolab.judging.simulating import simulated
from elbolab.oracles import LinearGaussian
from tests.elbolab.judging.test_calibration import Marginals

LITTLE = {"chains": 8, "temperatures": 120, "leaps": 3}


@pytest.fixture
def oracle():
    return LinearGaussian(8, 3, batch=12)


@pytest.fixture
def guide(oracle):
    """Beside the posterior and narrower: plain importance sampling fails."""
    return Marginals(oracle, scale=0.6, shift=0.7)


def test_the_bounds_are_close_to_the_truth_where_importance_sampling_is_not(oracle, guide):
    pyro.set_rng_seed(1)
    found = sandwiched(oracle.model, guide, oracle.x, simulations=100, **LITTLE)
    data, truth = same_data(oracle, 100)
    assert found.gap + 4 * found.error >= 0
    assert found.gap < 0.1
    assert found.error < 0.05
    assert (found.lower - truth).mean().item() == pytest.approx(0, abs=0.1)
    plain = evidence(oracle.model, guide, data, samples=8 * 120)
    assert (truth - plain.log_evidence).mean() > 0.3, "as many draws without annealing"


def same_data(oracle, count):
    """The data that were simulated with the same seed, and their evidence."""
    pyro.set_rng_seed(1)
    data, _ = simulated(oracle.model, oracle.x, count)
    return data.detach(), oracle.log_evidence(data).detach()


def test_few_temperatures_leave_a_gap_on_the_right_sides(oracle, guide):
    """The evidence of the very data that were simulated lies between the bounds, which are then far apart."""
    pyro.set_rng_seed(1)
    found = sandwiched(oracle.model, guide, oracle.x, simulations=60, chains=2, temperatures=2, leaps=1)
    _, truth = same_data(oracle, 60)
    assert found.gap > 0.5
    assert (found.lower - truth).mean() < 0 < (found.upper - truth).mean()


def test_chains_that_stand_still_are_seen_by_the_gap(oracle, guide, monkeypatch):
    monkeypatch.setattr(annealing, "_FIRST", 1e4)
    found = sandwiched(oracle.model, guide, oracle.x, simulations=100, chains=8, temperatures=30, leaps=1)
    assert found.gap > 0.5


def test_one_chain_and_data_in_their_own_right(oracle, guide):
    found = annealed(oracle.model, guide, oracle.x, chains=1, temperatures=3, leaps=1)
    assert found.shape == (12,)
    assert (found < oracle.log_evidence(oracle.x) + 3).all()


def test_latents_without_gradients_are_refused():
    def model(x):
        with pyro.plate("batch", len(x)):
            z = pyro.sample("z", dist.Bernoulli(torch.tensor(0.3)))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        with pyro.plate("batch", len(x)):
            pyro.sample("z", dist.Bernoulli(logits=x))

    with pytest.raises(ValueError, match="latent z lies in"):
        annealed(model, guide, torch.zeros(3), chains=2, temperatures=3)
