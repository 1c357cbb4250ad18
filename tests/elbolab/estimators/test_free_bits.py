"""Free bits: nothing free is the ELBO, everything free leaves the KL without a gradient, between them a max."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn
from torch.distributions import kl_divergence

from elbolab import FreeBits, PathwiseAnalyticKL

X = torch.tensor([[0.3, -1.0], [1.2, 0.4], [2.0, 0.0]], dtype=torch.float64)


class Model(nn.Module):
    def __init__(self, beta=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.5, 1.0, -0.3], [0.2, 0.1, 0.4]], dtype=torch.float64))
        self.beta = beta

    def forward(self, x):
        with pyro.plate("data", len(x)):
            with poutine.scale(scale=self.beta):
                z = pyro.sample("z", dist.Normal(torch.zeros(3).double(), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ self.weight.T, 1.0).to_event(1), obs=x)


class Guide(nn.Module):
    """Coordinates whose KL is 0.5, 0.02 and 0 nats or so."""

    def __init__(self, beta=1.0):
        super().__init__()
        self.location = nn.Parameter(torch.tensor([1.0, 0.2, 0.01], dtype=torch.float64))
        self.scale = nn.Parameter(torch.tensor([0.9, 1.0, 1.0], dtype=torch.float64))
        self.beta = beta

    def q(self, x):
        return dist.Normal(self.location + 0.1 * x[:, :1], self.scale).to_event(1)

    def forward(self, x):
        with pyro.plate("data", len(x)), poutine.scale(scale=self.beta):
            pyro.sample("z", self.q(x))


def gradients(elbo, model, guide, x=X):
    pyro.set_rng_seed(1)
    loss = elbo(model, guide)(x)
    parameters = [*model.parameters(), *guide.parameters()]
    return loss.detach(), torch.autograd.grad(loss, parameters, allow_unused=True)


@pytest.mark.parametrize("particles", [1, 4])
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_nothing_free_is_the_elbo(particles, beta):
    programs = Model(beta), Guide(beta)
    expected = gradients(PathwiseAnalyticKL(particles), *programs)
    found = gradients(FreeBits(particles, nats=0.0), *programs)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("vectorized", [True, False])
def test_a_coordinate_pays_what_it_has_above_the_free_nats(vectorized):
    model, guide, nats = Model(), Guide(), 0.1
    free, _ = gradients(FreeBits(3, nats=nats, vectorize_particles=vectorized), model, guide)
    plain, _ = gradients(PathwiseAnalyticKL(3, vectorize_particles=vectorized), model, guide)
    q = guide.q(X).base_dist
    kl = kl_divergence(q, dist.Normal(torch.zeros(3).double(), 1.0)).mean(0)
    assert (kl > nats).tolist() == [True, False, False]
    torch.testing.assert_close(free - plain, (3 * (kl.clamp(min=nats) - kl).sum()).detach(), rtol=1e-10, atol=1e-10)


def test_a_free_coordinate_feels_the_likelihood_alone():
    model, guide = Model(), Guide()
    _, free = gradients(FreeBits(nats=0.1), model, guide)
    _, likelihood = gradients(FreeBits(nats=100.0), model, guide)
    _, plain = gradients(FreeBits(nats=0.0), model, guide)
    assert torch.equal(free[1][1:], likelihood[1][1:])
    assert torch.equal(free[1][0], plain[1][0])
    assert not torch.equal(free[1][1:], plain[1][1:])


def test_coordinates_that_depend_on_each_other_are_one():
    class Full(Guide):
        def q(self, x):
            triangle = torch.eye(3).double() * self.scale
            return dist.MultivariateNormal(self.location + 0.0 * x[:, :1], scale_tril=triangle)

    model, guide = Model(), Full()
    whole = kl_divergence(guide.q(X), dist.Normal(torch.zeros(3).double(), 1.0).to_event(1)).mean()
    free, _ = gradients(FreeBits(nats=5.0), model, guide)
    plain, _ = gradients(FreeBits(nats=0.0), model, guide)
    torch.testing.assert_close(free - plain, (3 * (5.0 - whole)).detach(), rtol=1e-10, atol=1e-10)


def test_what_it_does_not_serve_is_said():
    class Cauchy(Guide):
        def q(self, x):
            return dist.Cauchy(self.location + 0.0 * x[:, :1], self.scale).to_event(1)

    with pytest.raises(ValueError, match="FreeBits serves latents whose KL is known in closed form, and that of z"):
        FreeBits()(Model(), Cauchy())(X)
    with pytest.raises(ValueError, match="not negative"):
        FreeBits(nats=-1.0)


@pytest.mark.parametrize("betas", [(0.5, 0.25), (torch.tensor(0.5).double(), torch.tensor(0.25).double()), (0.5, 0.5)])
def test_scales_that_differ(betas):
    """w_p log p - w_q log q, as every other estimator has it."""
    model, guide = Model(betas[0]), Guide(betas[1])
    for one, other in zip(
        gradients(FreeBits(500, nats=0.0), model, guide), gradients(PathwiseAnalyticKL(500), model, guide), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_masked_latent_is_refused():
    """The KL of what is masked is no part of the bound."""
    mask = torch.tensor([True, False, True])
    masked = [poutine.mask(program, mask=mask) for program in (Model(), Guide())]
    with pytest.raises(ValueError, match="FreeBits serves latents that nothing masks"):
        FreeBits().loss(*masked, X)
