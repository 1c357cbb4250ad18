"""The equality as a theorem about the programs that run.

Pyro's stock objectives on this project's Model and Guide, and the hand-written loss, are traced to the operations that
they execute and read over SymPy; a claim is a difference that simplifies to 0, for every x, m, s, noise and weight.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pyro.distributions as dist
import sympy as sp
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor
from torch.distributions import kl_divergence

from compare import handwritten
from compare.prove.claims import Claim, equal
from compare.prove.small_vae import Programs
from elbolab import StickingTheLanding
from elbolab.symbolic.simplify import expectation, noise_of, simplest


def likelihood(p: Programs) -> Iterator[Claim]:
    """1. Cross-entropy, summed over pixels, is -log p(x|z) of Bernoulli pixels."""
    by_logits = p.read(lambda x, m, s, w: handwritten.cross_entropy(m @ w, x).sum())
    program = p.read(lambda x, m, s, w: -p.model(w).likelihood(m).log_prob(x).sum())
    yield equal("1", "BCE(logits)", "-log p(x|z), Bernoulli(logits)", by_logits, program)
    by_probability = p.pixel(lambda logit, x: torch.nn.functional.binary_cross_entropy(torch.sigmoid(logit), x))
    by_logit = p.pixel(lambda logit, x: torch.nn.functional.binary_cross_entropy_with_logits(logit, x))
    yield equal("1", "BCE(sigmoid(logits))", "BCE(logits), exactly", by_probability, by_logit)


def divergence(p: Programs) -> Iterator[Claim]:
    """2. -1/2 sum(1 + s - m^2 - e^s) is KL(q || p), cross-entropy less entropy, and the mean of log q - log p."""
    written = p.read(lambda x, m, s, w: handwritten.kl(m, s).sum())
    program = p.read(lambda x, m, s, w: kl_divergence(p.guide(m, s).posterior(x), p.model(w).prior()).sum())
    parts = p.read(lambda x, m, s, w: (handwritten.gaussian_cross_entropy(m, s) - handwritten.entropy(s)).sum())
    drawn = p.read(lambda x, m, s, w: handwritten.sampled_kl(*_drawn(m, s)).sum())
    name = "-1/2 sum(1 + s - m^2 - e^s)"
    yield equal("2", name, "KL(q || p) of the programs' distributions", written, program)
    yield equal("2", name, "cross-entropy(q, p) - entropy(q)", written, parts)
    yield equal("2", name, "E_e[log q(z) - log p(z)]", written, [expectation(drawn[0])])


def analytic(p: Programs) -> Iterator[Claim]:
    """3. TraceMeanField_ELBO is BCE + KL: value, and every gradient of the traced backward pass."""
    yield from _same("3", p, "TraceMeanField_ELBO", p.objective(TraceMeanField_ELBO()), "BCE + KL", _bce_plus_kl)


def sampled(p: Programs) -> Iterator[Claim]:
    """4. Trace_ELBO is BCE + log q - log p; from TraceMeanField_ELBO it differs by a noise of mean 0."""
    yield from _same("4", p, "Trace_ELBO", p.objective(Trace_ELBO()), "BCE + log q - log p", _bce_plus_sampled)
    (one,), (other,) = p.read(p.objective(Trace_ELBO())), p.read(p.objective(TraceMeanField_ELBO()))
    noise = simplest(one - other)
    m, s = p.inputs[1].ravel(), p.inputs[2].ravel()
    terms = (
        (e**2 - 1) * (sp.exp(t) - 1) / 2 + e * u * sp.exp(t / 2) for e, u, t in zip(noise_of(noise), m, s, strict=True)
    )
    apart = sum(terms)
    yield Claim("4", "Trace_ELBO - TraceMeanField_ELBO", apart, simplest(noise - apart))
    yield Claim("4", "its expectation over the noise", "0", expectation(noise))
    variance = sum((1 - sp.exp(t)) ** 2 / 2 + sp.exp(t) * u**2 for u, t in zip(m, s, strict=True))
    yield Claim("4", "its variance", variance, simplest(expectation(sp.expand(noise**2)) - variance))


def variations(p: Programs) -> Iterator[Claim]:
    """5. The same with K samples, with beta, for other heads, for another prior and for a Gaussian likelihood."""

    def twice(x: Tensor, m: Tensor, s: Tensor, w: Tensor) -> Tensor:
        return (_bce_plus_kl(x, m, s, w) + _bce_plus_kl(x, m, s, w)) / 2

    two = p.objective(TraceMeanField_ELBO(num_particles=2))
    yield from _same("5", p, "TraceMeanField_ELBO, 2 samples", two, "mean of two BCE + KL", twice)
    for elbo, name, kl in ((TraceMeanField_ELBO(), "KL", _kl), (Trace_ELBO(), "(log q - log p)", _sampled)):

        def weighted(x: Tensor, m: Tensor, s: Tensor, w: Tensor, b: Tensor, kl: Callable = kl) -> Tensor:
            z, *_ = drawn = _drawn(m, s)
            return (handwritten.cross_entropy(z @ w, x) + b * kl(*drawn)).sum()

        yield equal(
            "5",
            f"{type(elbo).__name__}, beta on both sides",
            f"BCE + beta {name}",
            p.read(p.objective(elbo, "beta"), "beta"),
            p.read(weighted, "beta"),
        )
    kl = p.read(lambda x, m, s, w: handwritten.kl(m, s).sum())
    log_deviation = p.read(lambda x, m, s, w: handwritten.kl_of_log_deviation(m, 0.5 * s).sum())
    yield equal("5", "KL of a head t = log sigma, 2 t = s", "KL of the head s", log_deviation, kl)
    softplus = p.softplus(lambda m, h: handwritten.kl_of_softplus(m, h).sum())
    same = p.softplus(lambda m, h: handwritten.kl(m, 2 * torch.nn.functional.softplus(h).log()).sum())
    yield equal("5", "KL of a head h, 2 log softplus(h) = s", "KL of the head s", softplus, same)
    yield from other_parts(p)


def other_parts(p: Programs) -> Iterator[Claim]:
    """A prior N(a, c^2), c = e^r, and Gaussian pixels of variance v = e^u."""

    def other_prior(x: Tensor, m: Tensor, s: Tensor, w: Tensor, a: Tensor, r: Tensor) -> Tensor:
        z, *_ = _drawn(m, s)
        kl = 0.5 * ((s.exp() + (m - a).square()) / (2 * r).exp() - 1 + 2 * r - s).sum(-1)
        return (handwritten.cross_entropy(z @ w, x) + kl).sum()

    name = "TraceMeanField_ELBO, prior N(a, c^2)"
    right = "BCE + 1/2 sum[(e^s + (m-a)^2)/c^2 - 1 + 2 log c - s]"
    elbo = TraceMeanField_ELBO()
    yield equal("5", name, right, p.read(p.objective(elbo, "prior"), "prior"), p.read(other_prior, "prior"))

    def squared_error(x: Tensor, m: Tensor, s: Tensor, w: Tensor, u: Tensor) -> Tensor:
        z, *_ = _drawn(m, s)
        error = (x - z @ w).square().sum() / (2 * u.exp()) + 0.5 * x.numel() * (u + 1.8378770664093453).sum()
        return error + handwritten.kl(m, s).sum()

    name, right = "TraceMeanField_ELBO, Gaussian pixels", "|x - y|^2 / (2 v) + D/2 log(2 pi v) + KL"
    yield equal("5", name, right, p.read(p.objective(elbo, "gaussian"), "gaussian"), p.read(squared_error, "gaussian"))


def three_forms(p: Programs) -> Iterator[Claim]:
    """6. E[log p(x|z)] - KL(q || p) = log p(x) - KL(q || p(z|x)), where evidence and posterior are known.

    z ~ N(0, 1), x|z ~ N(w z, e^u), q = N(m, e^s): p(x) = N(0, t), p(z|x) = N(w x / t, e^u / t), t = w^2 + e^u.
    """

    def left(x: Tensor, m: Tensor, s: Tensor, w: Tensor, u: Tensor) -> Tensor:
        z, *_ = _drawn(m, s)
        return dist.Normal(w * z, (0.5 * u).exp()).log_prob(x).sum() - handwritten.kl(m, s).sum()

    def right(x: Tensor, m: Tensor, s: Tensor, w: Tensor, u: Tensor) -> Tensor:
        total = w.square() + u.exp()
        q, posterior = dist.Normal(m, (0.5 * s).exp()), dist.Normal(w * x / total, (u.exp() / total).sqrt())
        evidence = dist.Normal(torch.zeros_like(m), total.sqrt()).log_prob(x)
        return (evidence - kl_divergence(q, posterior)).sum()

    (drawn,), (known,) = p.scalars(left), p.scalars(right)
    yield Claim(
        "6", "E[log p(x|z)] - KL(q || p)", "log p(x) - KL(q || p(z|x))", simplest(expectation(sp.expand(drawn)) - known)
    )


def landing(p: Programs) -> Iterator[Claim]:
    """7. Sticking the landing is the total derivative of Trace_ELBO less q's score, whose expectation is 0."""
    loss = p.objective(StickingTheLanding())
    loss(*(torch.ones(np.shape(value), dtype=torch.float64) for value in p.inputs))  # it looks at the programs once
    path, total = p.read_gradient(loss), p.read_gradient(p.objective(Trace_ELBO()))
    difference = [simplest(b - a) for a, b in zip(np.ravel(path[0]), np.ravel(total[0]), strict=True)]
    in_s = [simplest(b - a) for a, b in zip(np.ravel(path[1]), np.ravel(total[1]), strict=True)]
    (value,), s = p.read(p.objective(Trace_ELBO())), p.inputs[2].ravel()
    noise = noise_of(value)
    name = "gradient of Trace_ELBO - that of StickingTheLanding"
    for i, (e, t) in enumerate(zip(noise, s, strict=True)):
        for symbol, found, score in (("m", difference[i], e * sp.exp(-t / 2)), ("s", in_s[i], (e**2 - 1) / 2)):
            yield Claim("7", f"{name}, in {symbol}", score, simplest(found - score))
            yield Claim("7", "  its expectation over the noise", "0", expectation(found))
    yield equal("7", f"{name}, in w", "0", [path[2] - total[2]], [0 * path[2]])


THEOREMS = (likelihood, divergence, analytic, sampled, variations, three_forms, landing)
# What separates over data, pixels and latents is shown at one and two of each, and once more at three.
SIZES = {2: THEOREMS, 1: (analytic, sampled), 3: (analytic, sampled)}


def _drawn(m: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    e = torch.empty_like(m).normal_()
    return handwritten.reparameterize(m, s, e), m, s


def _kl(z: Tensor, m: Tensor, s: Tensor) -> Tensor:
    return handwritten.kl(m, s)


def _sampled(z: Tensor, m: Tensor, s: Tensor) -> Tensor:
    return handwritten.sampled_kl(z, m, s)


def _bce_plus_kl(x: Tensor, m: Tensor, s: Tensor, w: Tensor) -> Tensor:
    z, *_ = _drawn(m, s)
    return (handwritten.cross_entropy(z @ w, x) + handwritten.kl(m, s)).sum()


def _bce_plus_sampled(x: Tensor, m: Tensor, s: Tensor, w: Tensor) -> Tensor:
    z, *_ = drawn = _drawn(m, s)
    return (handwritten.cross_entropy(z @ w, x) + handwritten.sampled_kl(*drawn)).sum()


def _same(theorem: str, p: Programs, left: str, a: Callable, right: str, b: Callable) -> Iterator[Claim]:
    yield equal(theorem, left, right, p.read(a), p.read(b))
    yield equal(theorem, "  its gradient in m, s and w", "the same", p.read_gradient(a), p.read_gradient(b))
