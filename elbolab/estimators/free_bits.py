"""The ELBO with free bits: the KL of a latent coordinate costs nothing below a number of nats, so that it is used."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from elbolab.estimators.base import Estimate, Known
from elbolab.estimators.conditions import DRAWN, Condition
from elbolab.estimators.kinds import Reparameterised
from elbolab.programs.draw import Draw
from elbolab.programs.kl import analytic_kl, closed_forms, weighed_apart


class FreeBits(Reparameterised):
    """The ELBO with a KL per coordinate that costs nothing below a number of nats.

    E_q[log p(x|z)] - sum_j max(nats, KL_j), KL_j the mean over the batch of a coordinate's KL in closed form.

    At most the ELBO, and so a lower bound on log p(x) that is looser the more nats are free; its gradient is pathwise
    and unbiased for it, with one decoder evaluation per particle. A latent whose coordinates are not independent in
    both programs counts as one (Kingma et al., 2016, Improving Variational Inference with Inverse Autoregressive Flow,
    arXiv 1606.04934, appendix C.8).
    """

    closed_form_kl = True
    total_derivative = True
    repeats = "none"

    conditions: tuple[Condition, ...] = (*Reparameterised.conditions, DRAWN)

    def __init__(self, num_particles: int = 1, *, nats: float = 0.1, **options: Any) -> None:
        """
        Args:
            num_particles: draws of z per datum.
            nats: what every coordinate has free.
            options: what else Reparameterised takes.
        """
        super().__init__(num_particles, **options)
        if not nats >= 0:
            raise ValueError(f"nats = {nats}: a number of nats is not negative")
        self.nats = nats

    @property
    def bound(self) -> str:
        return f"ELBO with {self.nats:g} free nats"

    def targets(self, known: Known) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(f"{self.bound} is not known")

    def estimate(self, draw: Draw) -> Estimate:
        names = closed_forms(draw)
        if missing := [site.name for site in draw.reading.latents if site.name not in names]:
            raise ValueError(
                f"FreeBits serves latents whose KL is known in closed form, and that of {missing[0]} is not."
                " Pathwise and StickingTheLanding need none"
            )
        if hidden := [name for name in names if draw.reading.guide[name].masked or draw.reading.model[name].masked]:
            raise ValueError(
                f"FreeBits serves latents that nothing masks, and {hidden[0]} is masked. Pathwise and"
                " PathwiseAnalyticKL serve such"
            )
        kl = torch.cat([self._coordinates(draw, name) for name in names], -1)  # (particles, batch, coordinates)
        costs = kl.mean((0, 1), keepdim=True) > self.nats
        paid = torch.where(costs, kl, self.nats).sum(-1)
        objective = (draw.log_weight_without(names) - paid + sum(self._apart(draw, name) for name in names)).mean(0)
        return Estimate(objective, objective)

    def _coordinates(self, draw: Draw, name: str) -> Tensor:
        found = [_divergences(draw, model.nodes[name], guide.nodes[name]) for model, guide in draw.runs]
        return torch.cat(found).expand(draw.particles, -1, -1)

    def _apart(self, draw: Draw, name: str) -> Tensor | float:
        """What the programs' different weights of a latent leave beside its KL, shape (particles, batch)."""
        sites: list[tuple[Mapping[str, Any], Mapping[str, Any]]]
        sites = [(model.nodes[name], guide.nodes[name]) for model, guide in draw.runs]
        found = [
            draw.reduce(term, draw.width, [frame.dim for frame in prior["cond_indep_stack"]])
            for prior, posterior in sites
            if (term := weighed_apart(draw, prior, posterior)) is not None
        ]
        return torch.cat(found) if found else 0.0


def _divergences(draw: Draw, prior: Mapping[str, Any], posterior: Mapping[str, Any]) -> Tensor:
    """A latent's KL coordinate by coordinate in one run, shape (particles or 1, batch, coordinates)."""
    q, p = posterior["fn"], prior["fn"]
    apart = _apart(q, p)
    divergence = analytic_kl(q, p) if apart is None else apart
    assert divergence is not None, "closed_forms has it"
    event = 0 if apart is None else len(q.event_shape)
    shape = q.batch_shape + (q.event_shape if event else ())
    weight = posterior["scale"] / draw.scale if draw.scaled else 1.0
    return draw.rows(weight * divergence.expand(shape), event)


def _apart(q: Distribution, p: Distribution) -> Tensor | None:
    """The KL of every coordinate, where both programs draw them independently."""
    if isinstance(q, Independent) and isinstance(p, Independent) and q.event_shape == p.event_shape:
        depth = q.reinterpreted_batch_ndims
        if depth == p.reinterpreted_batch_ndims == len(q.event_shape):
            return analytic_kl(q.base_dist, p.base_dist)
    return None
