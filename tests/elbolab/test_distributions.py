"""The distributions that PyTorch and Pyro lack, against other implementations."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

from elbolab.distributions import Chain, DiscretizedLogistic, Levels, OnGrid, RelaxedOneHot


@pytest.mark.parametrize(("location", "scale"), [(0.3, 0.1), (0.0, 0.02), (1.2, 0.5), (0.5, 3.0)])
def test_discretized_logistic_against_scipy(location, scale):
    p = DiscretizedLogistic(torch.tensor(location, dtype=torch.float64), torch.tensor(scale, dtype=torch.float64), 16)
    x = torch.arange(17).double() / 16
    edges = np.concatenate([[-np.inf], (np.arange(16) + 0.5) / 16, [np.inf]])
    cdf = stats.logistic.cdf(edges, location, scale)
    np.testing.assert_allclose(p.log_prob(x).exp(), np.diff(cdf), rtol=1e-9, atol=1e-15)
    assert p.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert p.mean.item() == pytest.approx((x * p.log_prob(x).exp()).sum().item(), abs=1e-12)


def test_discretized_logistic_keeps_its_gradient_in_the_tails():
    location = torch.tensor(0.0, requires_grad=True)
    value = DiscretizedLogistic(location, torch.tensor(1e-3), 255).log_prob(torch.tensor(0.5019608))
    value.backward()
    assert value.item() == pytest.approx(-500, rel=0.02), "a tail of slope -1/scale: no underflow to log 0"
    assert location.grad.item() == pytest.approx(1000, rel=1e-3)


def test_grid_is_the_base_at_the_numbers_it_stands_for():
    logits = torch.randn(5, 17)
    p = OnGrid(Levels(logits=logits), 16)
    k = torch.randint(0, 17, (5,))
    torch.testing.assert_close(p.log_prob(k / 16), torch.log_softmax(logits, -1)[torch.arange(5), k])
    probs = torch.softmax(logits, -1)
    torch.testing.assert_close(p.mean, (probs * torch.arange(17) / 16).sum(-1))


def test_a_chain_is_the_joint_density():
    def then(a):
        return dist.Normal(a.sum(-1, keepdim=True), 0.5).to_event(1)

    for reverse in (False, True):
        p = Chain(dist.Normal(torch.zeros(2), 1.0).to_event(1), then, (2, 1), reverse=reverse)
        value = p.sample((4, 5))
        a, b = (value[..., 1:], value[..., :1]) if reverse else (value[..., :2], value[..., 2:])
        expected = stats.norm.logpdf(a).sum(-1) + stats.norm.logpdf(b[..., 0], a.sum(-1), 0.5)
        np.testing.assert_allclose(p.log_prob(value), expected, rtol=1e-5)
        assert p.expand((6,)).sample().shape == (6, 3)


def test_relaxed_one_hot_never_underflows():
    p = RelaxedOneHot(torch.tensor(0.1), logits=torch.tensor([30.0, 0.0, -30.0]))
    z = p.sample((2000,))
    assert (z > 0).all()
    assert p.log_prob(z).isfinite().all()
