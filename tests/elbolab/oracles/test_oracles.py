"""The known models against other ways to the same numbers."""

import math

import numpy as np
import pytest
import torch

from elbolab import densities
from elbolab.oracles import LinearGaussian, NormalNormal, SignalToNoise
from tests.elbolab.statistics import exact_gradients, worst

ORACLES = {
    "normal": NormalNormal,
    "linear": lambda: LinearGaussian(4, 1),
    "two": lambda: LinearGaussian(3, 2),
    "noise": SignalToNoise,
}


def all_gradients(oracle, value):
    found = [exact_gradients(lambda: value().sum(), module) for module in (oracle.model, oracle.guide)]
    return torch.cat([g.flatten() for gradients in found for g in gradients.values()])


def close(found, expected, tolerance=1e-10):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def log_evidence(oracle):
    return oracle.log_evidence(oracle.x) if isinstance(oracle, LinearGaussian) else oracle.log_evidence()


@pytest.mark.parametrize("name", ["normal", "noise"])
def test_the_multisample_bound_of_one_particle_is_the_elbo(name):
    oracle = ORACLES[name]()
    close(oracle.iwae(1), oracle.elbo())
    close(all_gradients(oracle, lambda: oracle.iwae(1)), all_gradients(oracle, oracle.elbo))


@pytest.mark.parametrize("particles", [2, 3])
def test_the_multisample_bound_by_gauss_and_hermite_in_all_its_dimensions(particles):
    oracle = NormalNormal()

    def on_a_grid():
        nodes, weights = (torch.as_tensor(part) for part in np.polynomial.hermite_e.hermegauss(70))
        log_weight = oracle.log_weight(nodes[:, None])
        grid = torch.cartesian_prod(*[torch.arange(70)] * particles)
        measure = (weights / math.sqrt(2 * math.pi))[grid].prod(-1)
        return (measure[:, None] * (log_weight[grid].logsumexp(1) - math.log(particles))).sum(0)

    close(oracle.iwae(particles), on_a_grid(), 1e-6)  # Gauss-Hermite's own error: it falls from 60 to 120 points
    found, expected = (all_gradients(oracle, f) for f in (lambda: oracle.iwae(particles), on_a_grid))
    close(found, expected, 1e-4)


def test_more_nodes_change_nothing():
    coarse, fine = NormalNormal(points=200), NormalNormal(points=500)
    close(coarse.iwae(7), fine.iwae(7), 1e-12)
    close(all_gradients(coarse, lambda: coarse.iwae(7)), all_gradients(fine, lambda: fine.iwae(7)), 1e-12)


@pytest.mark.parametrize("name", ORACLES)
def test_bounds_rise_to_the_evidence(name):
    oracle = ORACLES[name]()
    bounds = [oracle.iwae(k) for k in (1, 2, 10, 10_000)] + [log_evidence(oracle)]
    assert all((low < high).all() for low, high in zip(bounds, bounds[1:], strict=False))
    assert (bounds[-1] - bounds[-2]).max() < 0.01


def test_everything_is_the_evidence_at_the_exact_posterior():
    oracle = NormalNormal(exact=True)
    for value in (oracle.elbo(), oracle.iwae(2), oracle.iwae(30)):
        close(value, oracle.log_evidence())


@pytest.mark.parametrize("name", ORACLES)
def test_bounds_are_those_of_the_programs(name):
    """Drawn by Pyro: K particles' log-mean weights."""
    oracle = ORACLES[name]()
    oracle.x = oracle.x[:2]
    with torch.no_grad():
        log_weight = densities(oracle.model, oracle.guide, oracle.x, 120_000).log_weight
        draws = {k: log_weight.reshape(k, -1, 2).logsumexp(0) - math.log(k) for k in (1, 2, 5)}
        exact = {k: oracle.iwae(k) for k in draws}
    found, bound = worst(draws, exact)
    assert found < bound
    found, bound = worst(draws, {k: 0.98 * value for k, value in exact.items()})
    assert found > bound, "2 % off is seen"


@pytest.mark.parametrize("name", ORACLES)
def test_wake_is_a_function_of_the_guide(name):
    """It moves the guide and leaves the model alone."""
    oracle = ORACLES[name]()
    oracle.x = oracle.x[:1]
    gradients = exact_gradients(lambda: oracle.wake().sum(), oracle.guide)
    assert max(g.abs().max() for g in gradients.values()) > 1e-3
    with pytest.raises(RuntimeError, match="does not require grad|not have been used"):
        torch.autograd.grad(oracle.wake().sum(), list(oracle.model.parameters()))


@pytest.mark.parametrize("name", ORACLES)
def test_wake_by_weighing_the_guides_draws(name):
    oracle = ORACLES[name]()
    oracle.x = oracle.x[:1]
    with torch.no_grad():
        found = densities(oracle.model, oracle.guide, oracle.x, 400_000)
        weight = (found.log_weight - log_evidence(oracle)).exp()  # p(z|x) / q(z|x): its mean is 1
        # E[weight] = 1, so that its mean is 0 whatever the weights' noise.
        draws = (weight * (found.posterior - oracle.wake()))[:, 0].reshape(400, -1).mean(1)
    score, bound = worst({"wake": draws}, {"wake": draws.new_zeros(())})
    assert score < bound
    assert draws.std() / 20 * bound < 0.06 * oracle.wake().abs(), "an error of 6 % would be seen"


def test_three_latents_have_no_multisample_bound():
    with pytest.raises(NotImplementedError, match="two latents at most"):
        LinearGaussian().iwae(2)
