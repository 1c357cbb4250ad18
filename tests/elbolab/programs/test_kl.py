"""The closed forms that were added, against sampling and against PyTorch's for full covariances."""

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import kl_divergence

from elbolab.programs.kl import analytic_kl

LATENT, BATCH = 4, 3


def full():
    triangle = torch.randn(BATCH, LATENT, LATENT).tril(-1).double() + torch.eye(LATENT) * 0.7
    return dist.MultivariateNormal(torch.randn(BATCH, LATENT).double(), scale_tril=triangle)


def low_rank():
    factor, diagonal = torch.randn(BATCH, LATENT, 2).double(), torch.rand(BATCH, LATENT).double() + 0.2
    return dist.LowRankMultivariateNormal(torch.randn(BATCH, LATENT).double(), factor, diagonal)


def diagonal():
    return dist.Normal(torch.randn(LATENT).double(), torch.rand(LATENT).double() + 1).to_event(1)


@pytest.mark.parametrize("guide", [full, low_rank])
def test_against_pytorchs_form_for_full_covariances(guide):
    q, p = guide(), diagonal()
    same = dist.MultivariateNormal(p.mean, torch.diag_embed(p.variance)).expand((BATCH,))
    torch.testing.assert_close(analytic_kl(q, p), kl_divergence(q, same), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("guide", [full, low_rank])
def test_against_sampling(guide):
    q, p = guide(), diagonal()
    z = q.sample((100_000,))
    draws = q.log_prob(z) - p.log_prob(z)
    error = draws.std(0) / 100_000**0.5
    score = (draws.mean(0) - analytic_kl(q, p)) / error
    assert score.abs().max() < 4
    assert (error < 0.025).all(), "an error of a tenth of a nat would be seen"


def test_what_has_no_closed_form_says_so():
    assert analytic_kl(full(), dist.Laplace(torch.zeros(LATENT).double(), 1.0).to_event(1)) is None
    assert analytic_kl(full(), dist.Normal(torch.zeros(2, LATENT).double(), 1.0).to_event(2)) is None
