"""Densities and gradients stay finite, whatever a network says."""

import math

import pytest
import torch

from tests.model.parts import LATENT, LIKELIHOODS, POSTERIORS, SHAPE, made, name


class Extreme(torch.nn.Module):
    """A network that says the same number everywhere, or +-it in turn."""

    def __init__(self, outputs, size, alternate):
        super().__init__()
        sign = 1 - 2 * (torch.arange(math.prod(outputs)) % 2) if alternate else 1
        self.value = torch.nn.Parameter((torch.full((math.prod(outputs),), size) * sign).reshape(outputs))

    def forward(self, value):
        return self.value.expand(*value.shape[:-1], *self.value.shape)


def check_finite(part, network, p, x):
    value = p.log_prob(x)
    assert value.isfinite().all()
    (gradient,) = torch.autograd.grad(value.sum(), network.value, retain_graph=True, allow_unused=True)
    assert gradient is None or gradient.isfinite().all()


@pytest.mark.parametrize("alternate", [False, True])
@pytest.mark.parametrize("size", [1e4, 100.0, -100.0, -1e4])
@pytest.mark.parametrize("cls", LIKELIHOODS, ids=name)
def test_likelihood_is_finite_at_extreme_decoder_outputs(cls, size, alternate):
    part = made(cls)
    part.decoder = Extreme((part.heads, *SHAPE), size, alternate)
    p = part(torch.zeros(5, LATENT))
    for x in (p.sample(), torch.zeros(5, *SHAPE), torch.ones(5, *SHAPE), torch.full((5, *SHAPE), 0.5)):
        if part.support.check(x).all():
            check_finite(part, part.decoder, p, x)


@pytest.mark.parametrize("alternate", [False, True])
@pytest.mark.parametrize("size", [1e4, 100.0, -100.0, -1e4])
@pytest.mark.parametrize("cls", POSTERIORS, ids=name)
def test_posterior_is_finite_at_extreme_encoder_outputs(cls, size, alternate):
    part = made(cls)
    features = part.encoder(torch.zeros(1, *SHAPE)).shape[-1]
    part.encoder = Extreme((features,), size, alternate)
    q = part(torch.zeros(5, *SHAPE))
    check_finite(part, part.encoder, q, q.rsample() if q.has_rsample else q.sample())
