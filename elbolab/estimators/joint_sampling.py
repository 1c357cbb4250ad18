"""How the particles of a pathwise estimator are drawn: one by one, in mirrored pairs, or as a quasi-Monte Carlo net."""

import math
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import (
    Distribution,
    Laplace,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

from elbolab.estimators.conditions import EveryLatent, every_latent
from elbolab.programs.sites import base, role

_BITS = 30


class Independently(Messenger):
    """Leaves the drawing to Pyro."""

    conditions: tuple[EveryLatent, ...] = ()
    least_particles = 1

    def __init__(self, particles: int) -> None:
        super().__init__()
        self.particles = particles


class _Jointly(Independently):
    """Draws the particles of a latent together, each of them distributed as q."""

    least_particles = 2

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and not msg["done"] and role(msg) == "latent" and msg["fn"].has_rsample:
            msg["value"], msg["done"] = self.together(msg["fn"]), True

    def together(self, q: Distribution) -> Tensor:
        """A value of shape (particles, *plates, *event)."""
        raise TypeError("abstract")


class Antithetic(_Jointly):
    """z = m + s e and its partner m' - s' e, for a q symmetric about its mean; an odd last particle stays alone.

    m' and s' are the partner's own, which differ where q depends on latents before it.
    """

    conditions = (
        every_latent(
            "latents that are symmetric about their mean (Normal, Laplace, MultivariateNormal or of low rank)"
            " where sampling is antithetic",
            lambda site: issubclass(site.family, Normal | Laplace | MultivariateNormal | LowRankMultivariateNormal),
        ),
    )

    def together(self, q: Distribution) -> Tensor:
        inner: Any = base(q)
        half, value = self.particles // 2, q.rsample()
        one, partner = slice(half), slice(half, 2 * half)
        away = value[one] - q.mean[one]
        if hasattr(inner, "scale_tril"):
            noise = torch.linalg.solve_triangular(inner.scale_tril[one], away[..., None], upper=False)
            mirrored = (inner.scale_tril[partner] @ noise)[..., 0]
        else:
            mirrored = inner.scale[partner] / inner.scale[one] * away
        return torch.cat([value[one], q.mean[partner] - mirrored, value[2 * half :]])


class Sobol(_Jointly):
    """A Sobol' net over the particles, randomised for every datum by a digital shift (Buchholz et al., 2018).

    Every point is uniform on the unit cube, so that estimates stay unbiased; z is its image under q's quantiles.
    """

    conditions = (
        every_latent(
            "latents whose quantiles are known (Normal, Laplace, MultivariateNormal) where sampling is sobol",
            lambda site: issubclass(site.family, Normal | Laplace | MultivariateNormal),
        ),
    )

    def together(self, q: Distribution) -> Tensor:
        inner: Any = base(q)
        like = q.mean
        event = math.prod(q.event_shape)
        net = torch.as_tensor(_net(self.particles, event), device=like.device)
        net = net.reshape(self.particles, *(1,) * (len(q.batch_shape) - 1), event)
        shape = (*q.batch_shape, event)
        # The same shift for all particles of a datum keeps the net a net; the jitter fills the cells.
        shift = torch.randint(2**_BITS, (1, *shape[1:]), device=like.device)
        u = ((net ^ shift) + torch.rand(shape, dtype=like.dtype, device=like.device)) / 2**_BITS
        tiny = torch.finfo(like.dtype).eps
        u = u.clamp(tiny, 1 - tiny).reshape(*q.batch_shape, *q.event_shape)
        if isinstance(inner, MultivariateNormal):
            e = math.sqrt(2) * torch.erfinv(2 * u - 1)
            return inner.loc + (inner.scale_tril @ e[..., None])[..., 0]
        return inner.icdf(u)


@lru_cache
def _net(points: int, dimensions: int) -> np.ndarray:
    """The first points of the Sobol' sequence, as integers of 30 bits."""
    from scipy.stats import qmc  # half a second in importing

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The balance properties")  # a shorter net is a worse one, not wrong
        points_in_cube = qmc.Sobol(dimensions, scramble=False, bits=_BITS).random(points)
    return (points_in_cube * 2**_BITS).astype(np.int64)


SAMPLERS = {"independent": Independently, "antithetic": Antithetic, "sobol": Sobol}
