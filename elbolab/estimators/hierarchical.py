"""The doubly reparameterised gradient where a prior has parameters or depends on latents before it."""

from collections.abc import Mapping
from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import Cauchy, Distribution, Laplace, MultivariateNormal, Normal

from elbolab.estimators.base import Estimate
from elbolab.estimators.multisample import DReG, Reweighed
from elbolab.estimators.pathwise import detached
from elbolab.estimators.score import log_mean
from elbolab.programs.draw import Draw
from elbolab.programs.sites import base, role, unmasked


class GDReG(DReG):
    """DReG, and the parameters of priors reparameterised too: their score becomes a path; unbiased.

    A prior p(z|l), z = T(e; l), gets sum_k w~_k d log p(z_k|l) in DReG, which serves the guide's parameters alone. For
    z drawn from q that is, in expectation, sum_k [(w~_k - w~_k^2) d/dz log w_k + w~_k d/dz (log q - log p(.|l))] dT/dl,
    e held at what T takes to z_k; l may depend on the latents before z. So for priors that are Normal, Laplace, Cauchy
    or MultivariateNormal, and not masked; others, and the likelihood, keep theirs. Two runs of the model, one without
    its likelihood's derivative (*Bauer and Mnih, 2021, Generalized Doubly Reparameterized Gradient Estimators*, arXiv
    2101.11046).
    """

    repeats = "both"

    def __init__(self, num_particles: int = 5, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        if not self.vectorize_particles:
            raise ValueError("GDReG reads the priors of all particles at once: vectorize_particles = True")

    @torch.enable_grad()
    def estimate(self, draw: Draw) -> Estimate:
        if not draw.values:
            return super().estimate(draw)  # point masses alone: no prior is drawn from
        drawn = Reweighed(draw)
        # What a guide without parameters draws moves log w as well.
        drawn.values = {name: v if v.requires_grad else v.detach().requires_grad_() for name, v in drawn.values.items()}
        log_weight = draw.log_weight(drawn.values)
        drawn.weight = weight = log_weight.detach().softmax(0)
        still = {name: value.requires_grad_() for name, value in detached(drawn.values).items()}
        score = draw.log_density(still)
        surrogate = (weight * (log_weight + score)).sum(0)
        with Priors() as priors:
            draw.log_p(detached(drawn.values))
        slopes = _slopes(log_weight, drawn.values), _slopes(score, still)
        for name, p in priors.found.items():
            if name in still and isinstance(base(p.density), LOCATION_SCALE) and not p.masked:
                own = draw.weigh(name, weight)
                log_p = p.density.log_prob(still[name])
                (slope,) = torch.autograd.grad(log_p.sum(), still[name], retain_graph=True)
                along = own * ((1 - own) * slopes[0][name] + slopes[1][name] - slope)
                path = draw.rows(along.detach() * moved(p.density, still[name].detach()), p.density.event_dim)
                instead = path.sum(-1) - weight * draw.rows(p.density.log_prob(still[name].detach()), 0).sum(-1)
                surrogate = surrogate + p.scale / draw.scale * instead.sum(0)
        return Estimate(log_mean(log_weight), surrogate)


LOCATION_SCALE = (Normal, Laplace, Cauchy, MultivariateNormal)


def moved(p: Distribution, z: Tensor) -> Tensor:
    """z as T(e; l) with e held still: a function of the parameters of p, whose value is z."""
    match base(p):
        case MultivariateNormal(loc=loc, scale_tril=root):
            e = torch.linalg.solve_triangular(root.detach(), (z - loc.detach())[..., None], upper=False)
            return loc + (root @ e)[..., 0]
        case Normal(loc=loc, scale=scale) | Laplace(loc=loc, scale=scale) | Cauchy(loc=loc, scale=scale):
            return loc + scale * ((z - loc) / scale).detach()
        case other:
            raise TypeError(f"{other} is not known as a transformation of noise")


def _slopes(total: Tensor, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The derivatives of a sum of log-densities with respect to the latents."""
    found = torch.autograd.grad(total.sum(), list(values.values()), retain_graph=True, materialize_grads=True)
    return dict(zip(values, found, strict=True))


class Prior:
    """A latent's density in the model, and what weighs it."""

    def __init__(self, msg: Mapping[str, Any]) -> None:
        self.density, self.scale = msg["fn"], msg["scale"]
        uneven = isinstance(self.scale, Tensor) and self.scale.dim() > 0
        self.masked = uneven or msg["mask"] is not None or unmasked(msg["fn"]) is not msg["fn"]


class Priors(Messenger):
    """Notes the densities of the model's latents."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Prior] = {}

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and role(msg) == "latent":
            self.found[msg["name"]] = Prior(msg)
