"""What a latent can influence: the terms of log w that its learning signal is made of, where it is drawn.

A draw's score may be weighed by those terms alone that depend on it: the others' expectation times the score is 0
(Schulman et al., 2015, Gradient Estimation Using Stochastic Computation Graphs, arXiv 1506.05254). So the terms that
neither the latent nor any that depends on it has a part in are left out, and in a plate that latent and term share, the
terms of the other elements.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from elbolab.programs.draw import Draw, Values
from elbolab.programs.reading import Reading
from elbolab.programs.sites import Plate, Site, latents, of_role, unmasked


def untouched(reading: Reading, name: str) -> frozenset[str]:
    """The sites of both programs whose density neither that latent nor any that depends on it has a part in."""
    programs = (*reading.model.values(), *reading.guide.values())
    return frozenset(site.name for site in programs) - {site.name for site in programs if moves(reading, name, site)}


def moves(reading: Reading, name: str, site: Site) -> bool:
    """Whether a site's density in its program changes with a latent, or with one that depends on it."""
    touched = reading.descendants(name) | {name}
    return site.name in touched or bool((site.depends | site.seen) & touched)


def elements(draw: Draw, latent: str) -> frozenset[Plate]:
    """The plates whose elements of a latent are told apart: those that it is in, and that are found not to mix."""
    own = draw.reading.plates(draw.reading.guide[latent])
    return frozenset(plate for plate in own if plate.dim is not None and plate.name not in draw.reading.mixed)


class Influence:
    """The terms of log w of one draw with the axes of their plates, (particles, *plates), 1 where a site is outside."""

    def __init__(self, draw: Draw, values: Values | None = None) -> None:
        self.draw, self.values = draw, values  # where latents are, if not where they were drawn

    @cached_property
    def terms(self) -> list[tuple[Site, Tensor]]:
        """Every site of both programs with what it adds to log w."""
        draw, found = self.draw, dict[tuple[int, str], list[Tensor]]()
        for run in draw.runs if self.values is None else draw.runs_at(self.values):
            for which, (trace, sign) in enumerate(zip(run, (1, -1), strict=True)):
                for site in of_role(trace, "latent", "point mass", "observed", "factor"):
                    found.setdefault((which, site["name"]), []).append(sign * self._term(site))
        sides = draw.reading.model, draw.reading.guide
        return [(sides[which][name], torch.cat(values)) for (which, name), values in found.items()]

    def _term(self, site: Mapping[str, Any]) -> Tensor:
        scale = site["scale"] if self.draw.scaled else 1.0
        return self.draw.padded(dist.util.scale_and_mask(site["fn"].log_prob(site["value"]), scale, site["mask"]), 0)

    def everything(self, latent: str) -> bool:
        """Whether all terms of a datum count for it, so that its signal is log w."""
        own = {plate.dim for plate in elements(self.draw, latent)}
        reading = self.draw.reading
        programs = (*reading.model.values(), *reading.guide.values())
        terms = [site for site in programs if site.role != "deterministic"]
        return all(moves(reading, latent, s) for s in terms) and own <= {plate.dim for plate in reading.shared}

    def signal(self, latent: str) -> Tensor:
        """The sum of the terms that a latent can influence, for every element of its plates, without a gradient."""
        reading, own = self.draw.reading, elements(self.draw, latent)
        total = torch.zeros(())
        for site, term in self.terms:
            if moves(reading, latent, site):
                kept = {plate.dim for plate in own & reading.plates(site)}
                rest = [dim for dim in range(-self.draw.nesting, 0) if dim not in kept]
                total = total + (term.detach().sum(rest, keepdim=True) if rest else term.detach())
        return total / self.draw.scale if self.draw.scaled else total

    def scores(self, latent: str, weight: Tensor) -> Tensor:
        """The log-density that a latent was drawn from, every element weighed, per datum: (particles, batch)."""
        density = torch.cat([self.draw.padded(one, 0) for one in self._densities(latent)])
        dims = [plate.dim for plate in self.draw.reading.guide[latent].plates if plate.dim is not None]
        return self.draw.per_datum(weight * density, len(density), dims)

    def _densities(self, latent: str) -> Iterator[Tensor]:
        for _, trace in self.draw.runs:
            (site,) = (site for site in latents(trace) if site["name"] == latent)
            yield unmasked(site["fn"]).log_prob(site["value"])
