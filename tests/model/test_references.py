"""Priors and posteriors against a second implementation: SciPy's densities, or the formula of the docstring."""

import math

import pytest
import torch
from scipy import stats

from tests.model.parts import POSTERIORS, PRIORS, SHAPE, double, made, name

# Their own test is the change of variables, in test_densities.py.
FLOWS = ("AutoregressiveFlow", "SplineFlow", "Flow", "NeuralFlow")


def _tensor(values):
    return torch.as_tensor(values)


def _normal(z, location, log_variance):
    return _tensor(stats.norm.logpdf(z, location, (0.5 * log_variance).exp())).sum(-1)


def _mixture(logits, scores):
    """Scores of shape (..., components)."""
    return (logits.log_softmax(-1) + scores).logsumexp(-1)


def _bits(z, logits):
    return _tensor(stats.bernoulli.logpmf(z, logits.sigmoid())).sum(-1)


def _category(z, logits):
    return (z * logits.log_softmax(-1)).sum(-1)


def _relaxed_bits(z, logits, t):
    """t a z^(-t-1) (1-z)^(-t-1) / (a z^-t + (1-z)^-t)^2, a = exp(l) (Maddison et al., 2017, equation 21)."""
    a = logits.exp()
    return (t * a * (z * (1 - z)) ** (-t - 1) / (a * z**-t + (1 - z) ** -t) ** 2).log().sum(-1)


def _relaxed_category(z, logits, t):
    """(n-1)! t^(n-1) prod_k a_k z_k^(-t-1) / (sum_k a_k z_k^-t)^n (Maddison et al., 2017, equation 10)."""
    a, n = logits.exp(), z.shape[-1]
    density = math.factorial(n - 1) * t ** (n - 1) * (a * z ** (-t - 1)).prod(-1) / (a * z**-t).sum(-1) ** n
    return density.log()


def _two_level_prior(part, z):
    """x sees z1, which comes first; z2 is drawn first."""
    lower, upper = z.split([part.seen, z.shape[-1] - part.seen], -1)
    return _tensor(stats.norm.logpdf(upper)).sum(-1) + _normal(lower, *part.network(upper).chunk(2, -1))


def _vamp(part, z):
    (posterior,) = part._posterior
    location, log_variance = posterior.encoder(part.pseudo_inputs.clamp(part.low, part.high)).chunk(2, -1)
    return _mixture(part.logits, _normal(z[:, None], location, log_variance))


PRIOR = {
    "Bernoulli": lambda part, z: _bits(z, part.logits),
    "Laplace": lambda part, z: _tensor(stats.laplace.logpdf(z, 0, 0.5**0.5)).sum(-1),
    "Mixture": lambda part, z: _mixture(part.logits, _normal(z[:, None], part.location, 2 * part.log_scale)),
    "Normal": lambda part, z: _normal(z, part.location, 2 * part.log_scale),
    "OneHot": lambda part, z: _category(z, part.logits),
    "RelaxedBernoulli": lambda part, z: _relaxed_bits(z, part.logits, 0.5),
    "RelaxedOneHot": lambda part, z: _relaxed_category(z, part.logits, 0.5),
    "StandardNormal": lambda part, z: _tensor(stats.norm.logpdf(z)).sum(-1),
    "StudentT": lambda part, z: _tensor(stats.t.logpdf(z, 5)).sum(-1),
    "TwoLevel": _two_level_prior,
    "VampPrior": _vamp,
}


def _gaussian(z, location, covariance):
    pairs = zip(z, location, covariance, strict=True)
    return torch.stack([_tensor(stats.multivariate_normal.logpdf(a, m.numpy(), s.numpy())) for a, m, s in pairs])


def _full(part, h, z):
    location, log_variance, entries = h.split([4, 4, 6], -1)
    triangle = torch.eye(4, dtype=z.dtype).repeat(len(z), 1, 1)
    for place, (row, column) in enumerate((i, j) for i in range(4) for j in range(i)):
        triangle[:, row, column] = entries[:, place]
    triangle = (0.5 * log_variance).exp()[..., None] * triangle
    return _gaussian(z, location, triangle @ triangle.mT)


def _low_rank(part, h, z):
    location, log_variance, factor = h.split([4, 4, 8], -1)
    w = factor.reshape(-1, 4, 2) * (0.5 * log_variance).exp()[..., None]
    return _gaussian(z, location, w @ w.mT + torch.diag_embed(log_variance.exp()))


def _mixture_posterior(part, h, z):
    logits, location, log_variance = h.reshape(len(h), 3, 9).split([1, 4, 4], -1)
    return _mixture(logits[..., 0], _normal(z[:, None], location + part.offset, log_variance))


def _two_level_posterior(part, h, z):
    lower, upper = z.split(2, -1)
    return _normal(lower, *h.chunk(2, -1)) + _normal(upper, *part.network(lower).chunk(2, -1))


POSTERIOR = {
    "Bernoulli": lambda part, h, z: _bits(z, h),
    "DiagonalNormal": lambda part, h, z: _normal(z, *h.chunk(2, -1)),
    "FullNormal": _full,
    "Laplace": lambda part, h, z: _tensor(stats.laplace.logpdf(z, h[:, :4], h[:, 4:].exp())).sum(-1),
    "LowRankNormal": _low_rank,
    "Mixture": _mixture_posterior,
    "OneHot": lambda part, h, z: _category(z, h),
    "RelaxedBernoulli": lambda part, h, z: _relaxed_bits(z, h, 2 / 3),
    "RelaxedOneHot": lambda part, h, z: _relaxed_category(z, h, 2 / 3),
    "TwoLevelNormal": _two_level_posterior,
}


def _nearly_linear(network):
    """Outputs so near to 0 that `bounded` is the identity to 1e-6: its bounds are tried in test_extremes.py."""
    return lambda x, original=network.forward: 0.05 * original(x)


@torch.no_grad()
@pytest.mark.parametrize("cls", [cls for cls in PRIORS if cls.__name__ not in FLOWS], ids=name)
def test_priors(cls):
    part = double(made(cls)).requires_grad_(False)
    for network in (getattr(part, "network", None), *(q.encoder for q in getattr(part, "_posterior", ()))):
        if network is not None:
            network.forward = _nearly_linear(network)
    p = part()
    z = p.sample((7,)).double()
    torch.testing.assert_close(p.log_prob(z), PRIOR[cls.__name__](part, z).double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cls", [cls for cls in POSTERIORS if cls.__name__ not in FLOWS], ids=name)
def test_posteriors(cls):
    part = double(made(cls)).requires_grad_(False)
    x = torch.rand(7, *SHAPE, dtype=torch.float64)
    for network in (part.encoder, getattr(part, "network", None)):
        if network is not None:
            network.forward = _nearly_linear(network)
    q = part(x)
    z = q.sample()
    expected = POSTERIOR[cls.__name__](part, part.encoder(x), z).double()
    torch.testing.assert_close(q.log_prob(z), expected, rtol=1e-5, atol=1e-5)
