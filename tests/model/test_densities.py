"""Densities are normalised, samples follow them, and a second implementation agrees."""

import math

import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import constraints
from scipy import stats

from elbolab.networks import bounded
from guide.posteriors import DiagonalNormal
from model import MLP
from tests.model.parts import LATENT, LIKELIHOODS, POSTERIORS, PRIORS, SHAPE, double, made, name


def support_of(part, p):
    """A grid that holds all but a negligible part of the mass, and the volume of its cells."""
    if part.support in (constraints.nonnegative_integer,):
        return torch.arange(3000.0)[:, None], 1.0
    if type(part).__name__ == "Multinomial":
        first = torch.arange(float(part.longest) + 1)
        return torch.stack([first, part.longest - first], -1), 1.0
    if part.support is constraints.boolean:
        size = p.event_shape[-1]
        return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * size).reshape(-1, size), 1.0
    if part.support is constraints.one_hot:
        return torch.eye(p.event_shape[-1]), 1.0
    if hasattr(part.support, "steps"):
        return torch.arange(part.support.steps + 1.0)[:, None] / part.support.steps, 1.0
    low, high, count = (-14.0, 14.0, 2801) if part.support in (constraints.real, constraints.real_vector) else (0, 1, 0)
    if count:
        line = torch.linspace(low, high, count)
    else:
        # Denser where densities on (0, 1) may be infinite: x = sigmoid(t), with its slope in the weights.
        t = torch.linspace(-33, 33, 4001).double()
        return torch.sigmoid(t)[:, None], (torch.sigmoid(t) * torch.sigmoid(-t) * (t[1] - t[0]))
    if p.event_shape[-1] == 1:
        return line[:, None], float(line[1] - line[0])
    line = torch.linspace(low, high, 701)
    return torch.cartesian_prod(line, line), float(line[1] - line[0]) ** 2


def mass(part, p):
    """Points, their probabilities, for a part in as few dimensions as it has."""
    points, weight = support_of(part, p)
    points = points.double()
    return points, p.log_prob(points).exp() * weight


def small_part(cls):
    """In one dimension, or in two where the part needs two; the posteriors that score any z."""
    dims = 1 if cls in LIKELIHOODS and cls.__name__ != "Multinomial" else 2
    if cls in LIKELIHOODS:
        part = double(made(cls, latent=2, shape=(dims,)))
        return part, part(torch.randn(2, dtype=torch.float64))
    part = double(made(cls, latent=2))
    return part, part() if cls in PRIORS else part(torch.rand(1, *SHAPE, dtype=torch.float64))


UNIT_SQUARE = ("RelaxedBernoulli", "RelaxedOneHot")
FLOWS = [c for c in [*PRIORS, *POSTERIORS] if c.__name__.endswith("Flow")]  # their kinks defeat a grid
SCORED = [c for c in [*PRIORS, *LIKELIHOODS, *POSTERIORS] if c not in FLOWS]


@pytest.mark.parametrize("cls", [c for c in SCORED if c.__name__ not in UNIT_SQUARE], ids=name)
def test_probabilities_sum_to_one_and_samples_follow_them(cls):
    part, p = small_part(cls)
    points, probabilities = mass(part, p)
    assert probabilities.sum().item() == pytest.approx(1, abs=2e-3)
    heavy = cls.__name__ == "StudentT"  # a sample variance converges slowly, and the grid cuts the tails
    samples = p.sample((40_000,)).reshape(40_000, -1)
    mean = (probabilities[:, None] * points).sum(0)
    variance = (probabilities[:, None] * (points - mean).square()).sum(0)
    score = (samples.mean(0) - mean) / (variance / 40_000).sqrt().clamp(min=1e-9)
    assert score.abs().max() < 4.5, "a mean wrong by 3 % of a standard deviation would be seen"
    if not heavy:
        fourth = (probabilities[:, None] * (points - mean).pow(4)).sum(0)
        error = ((fourth - variance.square()) / 40_000).clamp(min=1e-12).sqrt()
        assert ((samples.var(0) - variance) / error).abs().max() < 4.5


@pytest.mark.parametrize("cls", [c for c in [*PRIORS, *POSTERIORS] if c.__name__ in UNIT_SQUARE], ids=name)
def test_relaxations_are_densities_of_what_they_draw(cls):
    """On the line t = logit(z1): of bits the first one alone, of a category with two values its only coordinate."""
    part = double(made(cls, latent=1 if cls.__name__ == "RelaxedBernoulli" else 2))
    p = part() if cls in PRIORS else part(torch.rand(1, *SHAPE, dtype=torch.float64))
    t = torch.linspace(-60, 60, 12001).double()
    z = torch.sigmoid(t)[:, None]
    value = z if cls.__name__ == "RelaxedBernoulli" else torch.cat([z, torch.sigmoid(-t)[:, None]], -1)
    slope = (torch.sigmoid(t) * torch.sigmoid(-t)) * (t[1] - t[0])
    probabilities = p.log_prob(value).exp().reshape(-1) * slope
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-3)
    samples = p.sample((40_000,)).reshape(40_000, -1)[:, 0]
    mean = (probabilities * z[:, 0]).sum()
    error = ((probabilities * (z[:, 0] - mean).square()).sum() / 40_000).sqrt()
    assert abs(samples.mean() - mean) < 4.5 * error


@pytest.mark.parametrize("cls", FLOWS, ids=name)
def test_flows_have_the_density_of_the_change_of_variables(cls):
    part = double(made(cls, latent=3))
    q = part() if cls in PRIORS else part(torch.rand(1, *SHAPE, dtype=torch.float64))

    def bent(e):
        for transform in q.transforms:
            e = transform(e)
        return e

    for _ in range(5):
        e = q.base_dist.sample(() if cls in POSTERIORS else (1,))
        jacobian = torch.autograd.functional.jacobian(lambda v: bent(v[None])[0], e[0])
        z = bent(e)
        expected = q.base_dist.log_prob(e) - torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(q.log_prob(z), expected, rtol=1e-6, atol=1e-6)
        if getattr(cls, "scores_any", True):
            torch.testing.assert_close(q.log_prob(z.clone()), expected, rtol=1e-6, atol=1e-6)


# -- densities against another implementation -----------------------------------------------------------------------


def _negative_binomial(part, heads, x):
    mean, r = heads[0].exp(), bounded(part.log_dispersion, 7.0).exp()
    return stats.nbinom.logpmf(x, r, r / (r + mean))


def _zero_inflated(part, heads, x):
    counts, gate = torch.from_numpy(_negative_binomial(part, heads, x)).exp(), heads[1].sigmoid()
    return (gate * (x == 0) + (1 - gate) * counts).log()


def _continuous_bernoulli(part, heads, x):
    y = heads[0].sigmoid()
    constant = (2 * torch.atanh(1 - 2 * y) / (1 - 2 * y)).log()
    return constant + x * y.log() + (1 - x) * (1 - y).log()


def _logistic(m, s, x):
    half, upper, lower = 0.5 / 255, x.clone(), x.clone()
    upper[x > 1 - half] = math.inf
    lower[x < half] = -math.inf
    return torch.from_numpy(stats.logistic.cdf(upper + half, m, s) - stats.logistic.cdf(lower - half, m, s))


def _logistic_mixture(part, heads, x):
    logits, m, r = (torch.stack(list(group)) for group in torch.stack(list(heads)).chunk(3))
    return (
        (logits.softmax(0) * torch.stack([_logistic(*pair, x) for pair in zip(m, r.exp(), strict=True)])).sum(0).log()
    )


REFERENCES = {
    "Bernoulli": lambda part, h, x: stats.bernoulli.logpmf(x, h[0].sigmoid()),
    "Beta": lambda part, h, x: stats.beta.logpdf(x, h[0].exp(), h[1].exp()),
    "Binomial": lambda part, h, x: stats.binom.logpmf((x * 16).round(), 16, h[0].sigmoid()),
    "Categorical": lambda part, h, x: torch.stack(list(h)).log_softmax(0).gather(0, (x * 255).round().long()[None])[0],
    "ContinuousBernoulli": _continuous_bernoulli,
    "DiscretizedLogistic": lambda part, h, x: _logistic(h[0], h[1].exp(), x).log(),
    "DiscretizedLogisticMixture": _logistic_mixture,
    "HeteroscedasticNormal": lambda part, h, x: stats.norm.logpdf(x, h[0], part.floor + h[1].exp()),
    "Laplace": lambda part, h, x: stats.laplace.logpdf(x, h[0], bounded(part.log_scale, 7.0).exp()),
    "Multinomial": lambda part, h, x: stats.multinomial.logpmf(x.numpy(), x.sum(-1).numpy(), h[0].softmax(-1).numpy()),
    "NegativeBinomial": _negative_binomial,
    "Normal": lambda part, h, x: stats.norm.logpdf(x, h[0], bounded(part.log_scale, 7.0).exp()),
    "Poisson": lambda part, h, x: stats.poisson.logpmf(x, h[0].exp()),
    "ZeroInflatedNegativeBinomial": _zero_inflated,
}


@pytest.mark.parametrize("cls", LIKELIHOODS, ids=name)
def test_likelihood_against_a_second_implementation(cls):
    part = double(made(cls)).requires_grad_(False)
    z = torch.randn(7, LATENT, dtype=torch.float64)
    # `bounded` is the identity to 1e-6 this near to 0, and would be another parametrisation further out.
    heads = [0.05 * head for head in part.decode(z)]
    part.decode = lambda z: tuple(heads)
    part.decoder.forward = lambda z: torch.stack(heads, -2)
    p = part(z)
    x = p.sample()
    expected = torch.as_tensor(REFERENCES[cls.__name__](part, heads, x))
    expected = expected if expected.dim() == 1 else expected.sum(-1)
    torch.testing.assert_close(p.log_prob(x), expected, rtol=1e-4, atol=1e-4)


def test_bernoulli_pulls_at_a_logit_that_is_wrong_however_far(monkeypatch):
    part = made(next(c for c in LIKELIHOODS if c.__name__ == "Bernoulli"), shape=(1,))
    logit = torch.tensor([[[-100.0]]], requires_grad=True)
    monkeypatch.setattr(part.decoder, "forward", lambda z: logit)
    value = part(torch.zeros(1, LATENT)).log_prob(torch.ones(1, 1))
    value.sum().backward()
    assert value.item() == -100
    assert logit.grad.item() == 1


@pytest.mark.parametrize("head", ["log_variance", "softplus"])
def test_both_heads_of_the_diagonal_normal_say_what_they_are(head):
    part = DiagonalNormal(SHAPE, LATENT, MLP(8), head=head).double()
    x = torch.rand(5, *SHAPE, dtype=torch.float64)
    h = part.encoder(x).chunk(2, -1)[1]
    deviation = (0.5 * h).exp() if head == "log_variance" else torch.nn.functional.softplus(h)
    m, s = part.location_and_log_variance(x)
    torch.testing.assert_close(part(x).stddev, deviation, rtol=1e-2, atol=0)
    torch.testing.assert_close(part(x).variance, s.exp())
    torch.testing.assert_close(part(x).mean, m)


def test_softplus_head_has_a_gradient_where_softplus_underflows():
    part = DiagonalNormal(SHAPE, LATENT, MLP(8), head="softplus")
    h = torch.tensor([-300.0, -25.0, -19.0, 5.0], requires_grad=True)
    s = part._log_variance(h)
    s.sum().backward()
    assert s.isfinite().all()
    assert h.grad.isfinite().all()
    assert isinstance(part(torch.zeros(1, *SHAPE)), dist.Distribution)
