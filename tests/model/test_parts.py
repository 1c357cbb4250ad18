"""What every prior and every likelihood in `model.__all__` keeps; a new one is tested by being written."""

import io

import pytest
import torch

import model
from model import Likelihood, Prior

LATENT, SHAPE = 3, (2, 4)


def parts(base):
    classes = (getattr(model, name) for name in model.__all__)
    return [c for c in classes if isinstance(c, type) and issubclass(c, base) and c is not base]


@pytest.fixture(params=parts(Prior))
def prior(request):
    return request.param(LATENT)


@pytest.fixture(params=parts(Likelihood))
def likelihood(request, network):
    return request.param(LATENT, SHAPE, network)


def test_there_are_parts():
    assert parts(Prior)
    assert parts(Likelihood)


def test_prior_is_one_event(prior):
    p = prior()
    assert p.batch_shape == ()
    assert p.event_shape == (LATENT,)
    assert p.log_prob(p.sample((5, 6))).shape == (5, 6)


@pytest.mark.parametrize("leading", [(), (5,), (6, 5)])
def test_likelihood_is_one_event_for_any_leading_axes(likelihood, leading):
    p = likelihood(torch.randn(*leading, LATENT))
    assert p.batch_shape == leading
    assert p.event_shape == SHAPE
    assert likelihood.support.check(p.sample()).all()


def test_prior_moves_and_is_restored(prior):
    check_moves_and_is_restored(prior)


def test_likelihood_moves_and_is_restored(likelihood):
    check_moves_and_is_restored(likelihood, torch.randn(5, LATENT, dtype=torch.float64))


def check_moves_and_is_restored(module, *arguments):
    module.double()
    before = module(*arguments)
    assert before.sample().dtype == torch.float64
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    value = before.sample()
    for p in module.parameters():
        p.data.mul_(2).add_(1)
    module.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(module(*arguments).log_prob(value), before.log_prob(value))


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_likelihood_is_finite_at_extreme_decoder_outputs(likelihood, size):
    class Extreme(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.value = torch.nn.Parameter(torch.full((likelihood.heads, *SHAPE), size))

        def forward(self, z):
            return self.value.expand(*z.shape[:-1], *self.value.shape)

    likelihood.decoder = Extreme()
    p = likelihood(torch.zeros(5, LATENT))
    for x in (p.sample(), torch.zeros(5, *SHAPE), torch.ones(5, *SHAPE)):
        if likelihood.support.check(x).all():
            value = p.log_prob(x)
            (gradient,) = torch.autograd.grad(value.sum(), likelihood.decoder.value, retain_graph=True)
            assert value.isfinite().all()
            assert gradient.isfinite().all()


def test_bernoulli_pulls_at_a_logit_that_is_wrong_however_far(network, monkeypatch):
    bernoulli = model.Bernoulli(LATENT, (1,), network)
    logit = torch.tensor([[[-100.0]]], requires_grad=True)
    monkeypatch.setattr(bernoulli.decoder, "forward", lambda z: logit)
    value = bernoulli(torch.zeros(1, LATENT)).log_prob(torch.ones(1, 1))
    value.sum().backward()
    assert value.item() == -100
    assert logit.grad.item() == 1
