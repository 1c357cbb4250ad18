"""Guides that are the posterior, or off by a tenth: caught in 95 of 100 trials, and the right one left alone."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from elbolab.judging import calibration, surgery
from elbolab.oracles import LinearGaussian


class Marginals(nn.Module):
    """The exact posterior of a linear-Gaussian model, its scales and its mean off by so much."""

    def __init__(self, oracle, scale=1.0, shift=0.0):
        super().__init__()
        self.oracle, self.scale, self.shift = oracle, scale, shift

    def forward(self, x):
        p = self.oracle.posterior(x)
        deviation = p.variance.sqrt()
        tril = self.scale * p.scale_tril
        with pyro.plate("batch", len(x)):
            pyro.sample("z", dist.MultivariateNormal(p.mean + self.shift * deviation, scale_tril=tril))


def found(oracle, guide, trials, simulations=2000):
    """In how many trials something was found, and what was the worst."""
    looks = [calibration(oracle.model, guide, oracle.x, simulations=simulations).findings() for _ in range(trials)]
    return sum(map(bool, looks)), {look[0].wrong for look in looks if look}


@pytest.mark.parametrize(("scale", "wrong"), [(1.1, "too wide"), (0.9, "too narrow")])
def test_a_scale_that_is_a_tenth_off_is_caught(scale, wrong):
    oracle = LinearGaussian()
    caught, words = found(oracle, Marginals(oracle, scale), trials=40)
    assert caught >= 38
    assert words == {wrong}


def test_a_mean_that_is_a_fifth_of_a_deviation_off_is_caught():
    oracle = LinearGaussian()
    caught, words = found(oracle, Marginals(oracle, shift=0.2), trials=20)
    assert caught == 20
    assert words == {"too high"}


def test_the_posterior_itself_is_left_alone():
    oracle = LinearGaussian()
    caught, _ = found(oracle, Marginals(oracle), trials=40)
    assert caught <= 4  # at a level of 0.01, with probability 0.999 at least


def test_bits_have_places_too():
    def model(x):
        with pyro.plate("batch", len(x)):
            z = pyro.sample("z", dist.Bernoulli(torch.tensor(0.3)))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x, logit=math.log(0.3 / 0.7)):
        with pyro.plate("batch", len(x)):
            pyro.sample("z", dist.Bernoulli(logits=logit + x - 0.5))

    x = torch.zeros(3)
    assert not calibration(model, guide, x, simulations=2000).findings(1e-4)
    assert calibration(model, lambda x: guide(x, 0.0), x, simulations=2000).findings(1e-4)[0].coordinate == "z"


def test_what_cannot_be_simulated_is_refused():
    oracle = LinearGaussian()
    with pytest.raises(ValueError, match="it observes nothing"):
        calibration(lambda x: pyro.sample("z", dist.Normal(0.0, 1.0)), oracle.guide, oracle.x)

    def moved(x):
        with pyro.plate("batch", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z.sum(-1), 1.0), obs=2 * x[:, 0])

    with pytest.raises(ValueError, match="as it is: it observes x"):
        calibration(moved, oracle.guide, oracle.x)


def test_the_rate_is_information_and_the_aggregate_beside_the_prior():
    """With the exact posterior of simulated data q(z) is the prior, up to what so few data leave; moved, it is not."""
    oracle = LinearGaussian(6, 1)
    with torch.no_grad():
        x = oracle.model.likelihood(torch.randn(1500, 1).double()).sample()
    right = surgery(oracle.model, Marginals(oracle), x)
    assert right.rate == pytest.approx(right.information + right.aggregate)
    assert abs(right.aggregate) < 0.02
    assert right.information < math.log(1500)
    deviation = oracle.posterior(x).variance.sqrt()[0].item()
    moved = surgery(oracle.model, Marginals(oracle, shift=1.0 / deviation), x)
    assert moved.aggregate == pytest.approx(0.5, abs=4 * moved.error + 0.02)  # KL(N(1, 1) || N(0, 1))
    assert moved.information == pytest.approx(right.information, abs=0.1)


@pytest.mark.parametrize("pairs", [1, 70, 10**6])
def test_the_surgery_is_the_same_however_it_is_cut(pairs):
    oracle = LinearGaussian(6, 2, batch=9)
    pyro.set_rng_seed(0)
    found = surgery(oracle.model, oracle.guide, oracle.x, pairs=pairs)
    pyro.set_rng_seed(0)
    assert found == pytest.approx(surgery(oracle.model, oracle.guide, oracle.x), rel=1e-12)
