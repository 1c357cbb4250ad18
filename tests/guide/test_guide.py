"""What the guide and every posterior in `guide.__all__` keep."""

import pytest
import torch
from pyro import poutine

import guide
from guide import DiagonalNormal, Guide, Posterior

SHAPE, LATENT = (2, 4), 3
POSTERIORS = [
    c for c in vars(guide).values() if isinstance(c, type) and issubclass(c, Posterior) and c is not Posterior
]


@pytest.fixture(params=POSTERIORS)
def posterior(request, network):
    return request.param(SHAPE, LATENT, network).double()


def test_posterior_is_one_event_per_datum(posterior):
    q = posterior(torch.rand(5, *SHAPE, dtype=torch.float64))
    assert q.batch_shape == (5,)
    assert q.event_shape == (LATENT,)
    assert q.log_prob(q.sample((6,))).shape == (6, 5)


def test_data_are_independent(posterior):
    x = torch.rand(5, *SHAPE, dtype=torch.float64)
    z = posterior(x).sample()
    changed = x.clone()
    changed[0] = 1 - changed[0]
    before, after = posterior(x).log_prob(z), posterior(changed).log_prob(z)
    assert before[0] != after[0]
    torch.testing.assert_close(before[1:], after[1:], rtol=1e-12, atol=1e-12)


def test_the_guide_draws_the_posterior_and_beta_scales_it(posterior):
    program = Guide(posterior, beta=2.0).double()
    x = torch.rand(5, *SHAPE, dtype=torch.float64)
    trace = poutine.trace(program).get_trace(x)
    trace.compute_log_prob()
    site = trace.nodes["z"]
    torch.testing.assert_close(site["log_prob"], 2 * posterior(x).log_prob(site["value"]))


@pytest.mark.parametrize("size", [-1e4, -100.0, 100.0, 1e4])
def test_diagonal_normal_is_finite_at_extreme_heads(size, network, monkeypatch):
    posterior = DiagonalNormal(SHAPE, LATENT, network)
    heads = torch.cat([torch.zeros(1, LATENT), torch.full((1, LATENT), size)], 1).requires_grad_()
    monkeypatch.setattr(posterior.encoder, "forward", lambda x: heads)
    q = posterior(torch.zeros(1, *SHAPE))
    p = torch.distributions.Normal(torch.zeros(LATENT), torch.ones(LATENT))
    value = torch.distributions.kl_divergence(q.base_dist, p).sum()
    value.backward()
    assert value.isfinite()
    assert heads.grad.isfinite().all()


def test_diagonal_normal_takes_the_second_head_as_log_variance(network):
    posterior = DiagonalNormal(SHAPE, LATENT, network).double()
    x = torch.rand(5, *SHAPE, dtype=torch.float64)
    m, s = posterior.location_and_log_variance(x)
    q = posterior(x)
    torch.testing.assert_close(q.mean, m)
    torch.testing.assert_close(q.variance, s.exp())
