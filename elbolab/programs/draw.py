"""What a guide has drawn, and the log-densities of both programs there or anywhere else, read from Pyro's traces."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import kl_divergence

Values = Mapping[str, Tensor]
PLATE = "num_particles_vectorized"  # Pyro's own name for it


class Draw:
    """One vectorised run of the guide, `particles` draws of all latents z, and the model to replay against it.

    A log-density has the shape (particles, batch), in nats, summed over sample sites. `batch` runs over the plates that
    all sites of both programs share, which make the data independent given the parameters; what is inside a datum, and
    what is drawn once for all data, is summed. `scale` is what a subsample of these plates stands for, size /
    subsample, and is left out of the log-densities; `scaled=False` leaves out every other scale too, such as beta.
    """

    def __init__(
        self,
        model: Callable,
        guide: Callable,
        arguments: tuple = (),
        keywords: Mapping[str, Any] | None = None,
        *,
        particles: int = 1,
        nesting: int = 1,
        sampler: Messenger | None = None,
        scaled: bool = True,
    ) -> None:
        """
        Args:
            model, guide, arguments, keywords: the programs and what they are called with.
            particles: how many draws.
            nesting: the deepest plate in either program; the particles' is the next one to the left.
            sampler: a handler that has the last word on how a latent is drawn (antithetic pairs, for one).
            scaled: whether densities carry the scales that the programs put on their sites.
        """
        self.model, self.guide = model, guide
        self.arguments, self.keywords = arguments, keywords or {}
        self.particles, self.nesting, self.scaled = particles, nesting, scaled
        self._seen: poutine.Trace | None = None
        with sampler or Messenger():
            self._guide_trace = self._run(guide, particles)

    def _run(self, program: Callable, particles: int, values: Values | None = None) -> poutine.Trace:
        """A trace of a program, in a plate of particles, with the latents' values given."""
        if particles > 1:
            program = pyro.plate(PLATE, particles, dim=-1 - self.nesting)(program)
        if values is not None:
            program = poutine.replay(program, trace=self._with(values))
        return poutine.trace(program).get_trace(*self.arguments, **self.keywords)

    def _with(self, values: Values) -> poutine.Trace:
        """The guide's trace with other values; subsamples stay what they were, the number of particles need not."""
        trace = self._guide_trace.copy()
        trace.nodes.pop(PLATE, None)
        for name, value in values.items():
            trace.nodes[name] = trace.nodes[name] | {"value": value}
        return trace

    @cached_property
    def _model_trace(self) -> poutine.Trace:
        return self._run_model(self.values, self.particles)

    def _run_model(self, values: Values, particles: int) -> poutine.Trace:
        self._seen = self._run(self.model, particles, values)
        return self._seen

    @property
    def traces(self) -> tuple[poutine.Trace, poutine.Trace]:
        """The model's trace and the guide's, as Pyro has them."""
        return self._model_trace, self._guide_trace

    @property
    def values(self) -> dict[str, Tensor]:
        """The drawn latents by name, each of shape (particles, *plates, *event), without the first if there is one."""
        return {site["name"]: site["value"] for site in latents(self._guide_trace)}

    @property
    def posteriors(self) -> dict[str, dist.TorchDistribution]:
        """The distributions that they were drawn from, with the same names."""
        return {site["name"]: site["fn"] for site in latents(self._guide_trace)}

    @property
    def scale(self) -> float:
        """Data in all per datum in hand."""
        return math.prod((frame.full_size or frame.size) / frame.size for frame in self._shared)

    def log_p(self, values: Values | None = None, particles: int | None = None) -> Tensor:
        """log p(x, z) at the drawn z, or at other values and another number of particles."""
        trace = self._model_trace if values is None else self._run_model(values, particles or self.particles)
        return self._total(sites(trace), particles)

    def log_q(self, values: Values | None = None, particles: int | None = None) -> Tensor:
        """log q(z|x) at the drawn z, or elsewhere."""
        trace = self._guide_trace if values is None else self._run(self.guide, particles or self.particles, values)
        return self._total(latents(trace), particles)

    def log_density(self, values: Values | None = None, particles: int | None = None) -> Tensor:
        """log of the density that z was drawn from: log q(z|x) without the scales and masks that the guide puts on it.

        A score function is this one's gradient: beta weighs what is learnt from a draw, not how it was drawn.
        """
        # The scale of the shared plates is the one that `_reduce` takes out again.
        trace = self._guide_trace if values is None else self._run(self.guide, particles or self.particles, values)
        drawn = [site | {"scale": self.scale, "mask": None} for site in latents(trace)]
        return self._total(drawn, particles)

    def log_weight(self, values: Values | None = None, particles: int | None = None) -> Tensor:
        """log w = log p(x, z) - log q(z|x): its mean is the ELBO, its log-mean-exp bounds log p(x)."""
        return self.log_p(values, particles) - self.log_q(values, particles)

    def log_likelihood(self) -> Tensor:
        """log p(x|z) at the drawn z."""
        return self._total(site for site in sites(self._model_trace) if site["is_observed"])

    def log_prior(self) -> Tensor:
        """log p(z) at the drawn z."""
        return self._total(latents(self._model_trace))

    def kl(self) -> Tensor:
        """KL(q(z|x) || p(z)), latent by latent: in closed form where there is one, else log q - log p at the draw."""
        return sum(map(self._kl, latents(self._guide_trace)), torch.zeros(()))

    def _kl(self, site: Mapping[str, Any]) -> Tensor:
        prior = self._model_trace.nodes[site["name"]]
        try:
            divergence = kl_divergence(site["fn"], prior["fn"])
        except NotImplementedError:
            return self._total([site]) - self._total([prior])
        divergence = divergence.expand(site["fn"].batch_shape)
        return self._reduce(dist.util.scale_and_mask(divergence, site["scale"] if self.scaled else 1.0, site["mask"]))

    def data(self) -> Tensor:
        """What the model observes, a row of numbers per datum: shape (batch, numbers)."""
        rows = []
        for site in sites(self._model_trace):
            if site["is_observed"]:
                x = site["value"].expand(site["fn"].batch_shape + site["fn"].event_shape)
                rows.append(self.rows(x, len(site["fn"].event_shape))[0])
        return torch.cat(rows, -1)

    def rows(self, value: Tensor, event: int) -> Tensor:
        """Values of shape (particles, *plates, *event), with `event` axes of event, as (particles, batch, numbers)."""
        full = self._padded(value, event)
        kept = [1 + self.nesting + dim for dim in self._kept]
        full = full.permute(0, *kept, *(i for i in range(1, full.dim()) if i not in kept))
        return full.reshape(len(full), math.prod(full.shape[1 : 1 + len(kept)]), -1)

    def spread(self, rows: Tensor, like: Tensor, event: int) -> Tensor:
        """The inverse for values that are the same for all data: (particles, numbers) in a latent's shape."""
        shape = self._padded(like, event).shape[1:]
        one = [1 if i - self.nesting in self._kept else size for i, size in enumerate(shape)]
        return rows.reshape(len(rows), *one).expand(len(rows), *shape)

    def _padded(self, value: Tensor, event: int) -> Tensor:
        """A latent's values with an axis for the particles and for every plate."""
        return value.reshape((1,) * (1 + self.nesting + event - value.dim()) + value.shape)

    def weigh(self, name: str, weight: Tensor) -> Tensor:
        """A weight per particle and datum, (particles, batch), in the shape that multiplies the latent's values."""
        q = self._guide_trace.nodes[name]["fn"]
        shape = [self.particles] + [1] * self.nesting
        for frame in self._shared:
            shape[frame.dim] = frame.size
        # A single particle has no axis, and a shallow site lacks those of deeper plates.
        return weight.reshape(shape[len(shape) - len(q.batch_shape) :] + [1] * len(q.event_shape))

    @cached_property
    def _shared(self) -> tuple:
        """The plates that every site of both programs is in, from the left."""
        model_trace = self._seen or self._model_trace  # any run will do: none is made for this alone
        stacks = [
            {frame for frame in site["cond_indep_stack"] if frame.vectorized and frame.name != PLATE}
            for trace in (self._guide_trace, model_trace)
            for site in sites(trace)
        ]
        return tuple(sorted(set.intersection(*stacks), key=lambda frame: frame.dim)) if stacks else ()

    @property
    def _kept(self) -> list[int]:
        return [frame.dim for frame in self._shared]

    def _total(self, chosen: Iterable[Mapping[str, Any]], particles: int | None = None) -> Tensor:
        terms = []
        for site in chosen:
            scale = site["scale"] if self.scaled else 1.0
            term = dist.util.scale_and_mask(site["fn"].log_prob(site["value"]), scale, site["mask"])
            terms.append(self._reduce(term, particles))
        return sum(terms[1:], terms[0]) if terms else torch.zeros(particles or self.particles, 1)

    def _reduce(self, term: Tensor, particles: int | None = None) -> Tensor:
        """Sums a log-density over what is not shared: shape (particles, batch)."""
        particles = particles or self.particles
        full = term.reshape((1,) * (1 + self.nesting - term.dim()) + term.shape)
        summed = [dim for dim in range(-self.nesting, 0) if dim not in self._kept]
        kept = full.sum(summed) if summed else full
        kept = kept.expand(particles, *kept.shape[1:]).reshape(particles, -1)
        return kept / self.scale if self.scaled and self.scale != 1 else kept


def sites(trace: poutine.Trace) -> Iterator[Mapping[str, Any]]:
    """The sample sites of a trace, subsamples left out."""
    for site in trace.nodes.values():
        if site["type"] == "sample" and not poutine.util.site_is_subsample(site):
            yield site


def latents(trace: poutine.Trace) -> Iterator[Mapping[str, Any]]:
    """Those that are not observed."""
    return (site for site in sites(trace) if not site["is_observed"])
