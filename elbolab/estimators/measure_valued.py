"""Measure-valued (weak) derivatives: of an expectation by a parameter, as a difference of two expectations.

dE_q[f]/dl = c (E_q+[f] - E_q-[f]), q+ and q- two distributions of that coordinate, the other coordinates as drawn.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Normal, Poisson

from elbolab.estimators.base import Estimate, Estimator
from elbolab.estimators.codes import uniform
from elbolab.estimators.conditions import INDEPENDENT, Condition, every_latent
from elbolab.estimators.score import DetachedDraws
from elbolab.programs.draw import Draw
from elbolab.programs.sites import base

KINDS = (Bernoulli, Normal, Poisson)
MEASURED = every_latent("Normal, Bernoulli or Poisson latents", lambda site: issubclass(site.family, KINDS))


@dataclass
class Difference:
    """Draws of q+ and q- in the place of z, all coordinates at once; c, and the parameter l; all in z's shape."""

    above: Tensor
    below: Tensor
    factor: Tensor
    parameter: Tensor


def normal(q: Normal, z: Tensor) -> Iterator[Difference]:
    """Mean: a Rayleigh (Weibull) step up or down. Scale: a two-sided Maxwell draw, and a normal one as its part."""
    loc, scale = q.loc.expand_as(z), q.scale.expand_as(z)
    m, s = loc.detach(), scale.detach()
    step = s * (-2 * uniform(z).log()).sqrt()
    yield Difference(m + step, m - step, 1 / (s * math.sqrt(2 * math.pi)), loc)
    # The length of a normal vector in three dimensions, with a sign.
    far = s * torch.randn((3, *z.shape), dtype=z.dtype, device=z.device).norm(dim=0) * (uniform(z) - 0.5).sign()
    yield Difference(m + far, m + far * uniform(z), 1 / s, scale)


def bernoulli(q: Bernoulli, z: Tensor) -> Iterator[Difference]:
    """1 and 0."""
    logits = q.logits.expand_as(z)
    p = logits.detach().sigmoid()
    yield Difference(torch.ones_like(z), torch.zeros_like(z), p * (1 - p), logits)


def poisson(q: Poisson, z: Tensor) -> Iterator[Difference]:
    """One more than the draw, and the draw."""
    yield Difference(z + 1, z, torch.ones_like(z), q.rate.expand_as(z))


DIFFERENCES: dict[type[Distribution], Callable[..., Iterator[Difference]]] = {
    Normal: normal,
    Bernoulli: bernoulli,
    Poisson: poisson,
}


class MeasureValued(Estimator):
    """The difference of f at two draws for every coordinate of the latents, by weak derivatives of q.

    1/K sum_k sum_j c_j [f(z_k with q+ for z_j) - f(z_k with q- for z_j)] dl_j, f = log p(x, z) - log q(z|x).

    The mean of a Normal by Weibull steps and its scale by a two-sided Maxwell draw, the two of a pair coupled; bits by
    p (1 - p) [f(1) - f(0)], which is exact but for the other bits; Poisson by f(z + 1) - f(z). Asks for no derivative
    of f; unbiased for the ELBO. 2 D + 1 decoder evaluations per particle for a datum's D bits or counts, 4 D + 1 for D
    normals: for few coordinates (*Mohamed et al., 2019, Monte Carlo Gradient Estimation in Machine Learning*, arXiv
    1906.10652).
    """

    conditions: tuple[Condition, ...] = (MEASURED, INDEPENDENT)

    def sampler(self) -> Messenger:
        return DetachedDraws()

    def estimate(self, draw: Draw) -> Estimate:
        log_p = draw.log_p()
        f = (log_p - draw.log_q()).detach()
        surrogate = log_p
        drawn = {name: value.detach() for name, value in draw.values.items()}
        for name, z in drawn.items():
            kind = next(cls for cls in KINDS if isinstance(base(draw.posteriors[name]), cls))
            for difference in DIFFERENCES[kind](base(draw.posteriors[name]), z):
                surrogate = surrogate + self.along(draw, drawn, name, difference)
        return Estimate(f.mean(0), surrogate.mean(0))

    def along(self, draw: Draw, drawn: dict[str, Tensor], name: str, difference: Difference) -> Tensor:
        """sum_j c_j [f with above_j - f with below_j] l_j, shape (particles, batch)."""
        events = {other: q.event_dim for other, q in draw.posteriors.items()}
        z, event = draw.padded(drawn[name], events[name]), events[name]
        count = draw.rows(z, event).shape[-1]
        own = draw.spread(torch.eye(count, dtype=z.dtype, device=z.device), z, event)[:, None] > 0
        copies = {
            other: draw.padded(value, events[other]).repeat(count, *[1] * (draw.nesting + events[other]))
            for other, value in drawn.items()
        }
        found = []
        for value in (difference.above, difference.below):
            copies[name] = torch.where(own, draw.padded(value, event), z).flatten(0, 1)
            with torch.no_grad():
                f = draw.log_weight(copies, count * draw.particles)
            found.append(f.reshape(count, draw.particles, -1))
        change = (found[0] - found[1]).permute(1, 2, 0)
        return (change * draw.rows(difference.factor * difference.parameter, event)).sum(-1)
