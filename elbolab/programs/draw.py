"""What a guide has drawn, and the log-densities of both programs there or anywhere else, read from Pyro's traces."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor

from elbolab.programs.runs import Runs, Traces, Values
from elbolab.programs.sites import Role, latents, of_role, still, unmasked

_DENSITIES: tuple[Role, ...] = ("latent", "point mass", "observed", "factor")
_LIKELIHOOD: tuple[Role, ...] = ("observed", "factor")
_OTHERS: tuple[Role, ...] = ("point mass", "observed", "factor")  # of the guide's, what is not drawn


class Draw(Runs):
    """One run of the guide, `particles` draws of all latents z, and the model to replay against it.

    A log-density has the shape (particles, batch), in nats, summed over sample sites. `batch` runs over the plates that
    all sites share that have to do with latents, which make the data independent given the parameters; what is inside a
    datum, and what is drawn once for all data, is summed; what depends on no latent and is outside these plates is
    divided among the data. `scale` is what a subsample of these plates stands for, size / subsample, and is left out of
    the log-densities; `scaled=False` leaves out every other scale too, such as beta.

    Latents are what the guide draws. Point masses (Delta) are functions of them and of parameters: they are computed
    anew wherever the latents are put. Their log-density, and what the guide observes or puts in by `pyro.factor`, is
    none of a draw's density: it is subtracted from log p, so that `log_p` is the joint density in terms of the latents.
    """

    @property
    def values(self) -> dict[str, Tensor]:
        """The drawn latents by name, each of shape (particles, *plates, *event), without the first if there is one."""
        return self._gathered(self._guides, lambda site: site["value"])

    @property
    def posteriors(self) -> dict[str, dist.TorchDistribution]:
        """The distributions that they were drawn from, with the same names; of the first run."""
        return {site["name"]: site["fn"] for site in latents(self._guides[0])}

    def arguments_of(self, argument: Callable[[dist.TorchDistribution], Tensor]) -> dict[str, Tensor]:
        """An argument of every latent's distribution that has the shape of its values, such as logits."""
        return self._gathered(self._guides, lambda site: argument(site["fn"]))

    def _gathered(self, traces: Traces, what: Callable[[Mapping[str, Any]], Tensor]) -> dict[str, Tensor]:
        if len(traces) == 1:
            return {site["name"]: what(site) for site in latents(traces[0])}
        return {
            name: torch.cat([self.padded(what(trace.nodes[name]), len(q.event_shape)) for trace in traces])
            for name, q in self.posteriors.items()
        }

    def redrawn(self, held: Values) -> dict[str, Tensor]:
        """Values of all latents: some that are given, for all particles, and the others drawn anew given these."""
        drawn = self._gathered(self._guides_at(held, None), lambda site: site["value"].detach())
        return drawn | dict(held)

    @property
    def scale(self) -> float:
        """Data in all per datum in hand."""
        return math.prod((frame.full_size or frame.size) / frame.size for frame in self.frames)

    def log_p(self, values: Values | None = None, particles: int | None = None) -> Tensor:
        """log p(x, z) at the drawn z, or at other values and another number of particles.

        Less what the guide puts in that is no draw's density: with z = T(e), e drawn, it is log p(x, T(e)) + log |T'|.
        """
        guides = self._guides_at(values, particles) if values is None or self.reading.others else []
        models = self._models if values is None else self._models_at(values, particles or self.particles, guides)
        joint = self._total((of_role(trace, *_DENSITIES) for trace in models), particles)
        if not self.reading.others:
            return joint
        return joint - self._total((of_role(trace, *_OTHERS) for trace in guides), particles)

    def log_model(self) -> Tensor:
        """log p(x, z) at what the guide has drawn and computed, all held still: of the model's parameters alone."""
        models = [self._run(self.model, 0, self.width, still(trace)) for trace in self._guides]
        return self._total(of_role(trace, *_DENSITIES) for trace in models)

    def log_q(
        self, values: Values | None = None, particles: int | None = None, names: Collection[str] | None = None
    ) -> Tensor:
        """log q(z|x) of the latents at the drawn z, or elsewhere; of some of them alone."""
        return self._total((_some(trace, names) for trace in self._guides_at(values, particles)), particles)

    def log_density(
        self, values: Values | None = None, particles: int | None = None, names: Collection[str] | None = None
    ) -> Tensor:
        """log of the density that z was drawn from: log q(z|x) without the scales and masks that the guide puts on it.

        A score function is this one's gradient: beta weighs what is learnt from a draw, not how it was drawn.
        """
        # The scale of the shared plates is the one that `_reduce` takes out again.
        own = {"scale": self.scale, "mask": None}
        guides = self._guides_at(values, particles)
        drawn = ([{**site, **own, "fn": unmasked(site["fn"])} for site in _some(trace, names)] for trace in guides)
        return self._total(drawn, particles)

    def log_weight(self, values: Values | None = None, particles: int | None = None) -> Tensor:
        """log w = log p(x, z) - log q(z|x): its mean is the ELBO, its log-mean-exp bounds log p(x)."""
        return self.log_p(values, particles) - self.log_q(values, particles)

    def log_weight_without(self, names: Collection[str]) -> Tensor:
        """log w at the drawn z, less what some latents add to it."""
        kept = ([site for site in of_role(trace, *_DENSITIES) if site["name"] not in names] for trace in self._models)
        drawn = ([s for s in of_role(t, "latent", *_OTHERS) if s["name"] not in names] for t in self._guides)
        return self._total(kept) - self._total(drawn)

    def log_likelihood(self) -> Tensor:
        """log p(x|z) at the drawn z: what the model observes, and its factors."""
        return self._total(of_role(trace, *_LIKELIHOOD) for trace in self._models)

    def log_prior(self) -> Tensor:
        """log p(z) at the drawn z, in terms of the latents."""
        prior = self._total(of_role(trace, "latent", "point mass") for trace in self._models)
        if not self.reading.others:
            return prior
        return prior - self._total(of_role(trace, *_OTHERS) for trace in self._guides)

    def data(self) -> Tensor:
        """What the model observes, a row of numbers per datum: shape (batch, numbers); 0 where it is masked.

        What the model computed from latents before it observed it is none of the data.
        """
        shared, rows = {plate.dim for plate in self.reading.shared}, []
        for site in of_role(self._models[0], "observed"):
            read = self.reading.model[site["name"]]
            if not read.seen and shared <= {plate.dim for plate in read.plates}:
                q, mask = site["fn"], site["mask"]
                x, event = site["value"].expand(q.batch_shape + q.event_shape), len(q.event_shape)
                if isinstance(mask, Tensor):
                    x = torch.where(mask.reshape(mask.shape + (1,) * event), x, torch.zeros_like(x))
                rows.append(self.rows(x, event)[0])
        return torch.cat(rows, -1) if rows else torch.zeros(math.prod(frame.size for frame in self.frames), 0)

    def weigh(self, name: str, weight: Tensor) -> Tensor:
        """A weight per particle and datum, (particles, batch), in the shape that multiplies the latent's values."""
        event = len(self.posteriors[name].event_shape)
        shape = [self.particles] + [1] * self.nesting
        for frame in self.frames:
            shape[frame.dim] = frame.size
        # A single particle has no axis, and a shallow site lacks those of deeper plates.
        site: Mapping[str, Any] = self._guides[0].nodes[name]
        own = site["value"].dim() - event if len(self._guides) == 1 else len(shape)
        return weight.reshape(shape[len(shape) - own :] + [1] * event)

    def _total(self, runs: Iterable[Iterable[Mapping[str, Any]]], particles: int | None = None) -> Tensor:
        """The sum of some sites' log-densities, for every run of a program: shape (particles, batch)."""
        return torch.cat(
            [self._of_sites(r, w) for r, w in zip(runs, self._widths(particles or self.particles), strict=True)]
        )

    def _of_sites(self, chosen: Iterable[Mapping[str, Any]], width: int) -> Tensor:
        terms = []
        for site in chosen:
            scale = site["scale"] if self.scaled else 1.0
            term = dist.util.scale_and_mask(site["fn"].log_prob(site["value"]), scale, site["mask"])
            terms.append(self.reduce(term, width, [frame.dim for frame in site["cond_indep_stack"]]))
        return sum(terms[1:], terms[0]) if terms else torch.zeros(width, 1)

    def reduce(self, term: Tensor, width: int, dims: Collection[int]) -> Tensor:
        """Sums a site's log-density over what is not shared: shape (width, batch). `dims` are the site's plates."""
        total = self.per_datum(term, width, dims)
        return total / self.scale if self.scaled and self.scale != 1 else total


def _some(trace: poutine.Trace, names: Collection[str] | None) -> list[Mapping[str, Any]]:
    """A guide's latents, or those of them with these names."""
    return [site for site in latents(trace) if names is None or site["name"] in names]
