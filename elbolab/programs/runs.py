"""Runs of a guide for several particles, all at once or one by one, and of both programs with latents held."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import pyro
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor

from elbolab.programs.axes import Axes, Frame
from elbolab.programs.reading import Reading, read
from elbolab.programs.sites import PLATE, drawing, latents, replayable, sites

Values = Mapping[str, Tensor]
Traces = list[poutine.Trace]


class Runs(Axes):
    """The guide, run for `particles` draws of all latents, and the model to replay against it.

    A run is a trace of a program: one for all particles where they are vectorised, else one for each.
    """

    def __init__(
        self,
        model: Callable,
        guide: Callable,
        arguments: tuple = (),
        keywords: Mapping[str, Any] | None = None,
        *,
        particles: int = 1,
        reading: Reading | None = None,
        nesting: int = 0,
        sampler: Messenger | None = None,
        scaled: bool = True,
        vectorized: bool = True,
    ) -> None:
        """
        Args:
            model, guide, arguments, keywords: the programs and what they are called with.
            particles: how many draws.
            reading: what is known of the programs; they are read if it is left out.
            nesting: how deep plates may be nested at least; the particles' is the next one to the left.
            sampler: a handler that has the last word on how a latent is drawn (antithetic pairs, for one).
            scaled: whether densities carry the scales that the programs put on their sites.
            vectorized: whether the particles are one plate, or the programs run once for each of them.

        Raises:
            ProgramsChanged: the programs are not those that were read.
        """
        self.model, self.guide = model, drawing(guide)
        self.arguments, self.keywords = arguments, keywords or {}
        self.reading = reading or read(model, guide, self.arguments, self.keywords)
        self.nesting = max(nesting, self.reading.nesting)
        self.particles, self.scaled, self.vectorized = particles, scaled, vectorized
        widths = self._widths(particles)
        with sampler or Messenger():
            self._guides = [self._run(self.guide, 1, widths[0])]
            # Every particle is of the same data.
            self._guides += [self._run(self.guide, 1, 1, replayable(self._guides[0], {})) for _ in widths[1:]]

    @property
    def width(self) -> int:
        """The particles of one run."""
        return self._widths(self.particles)[0]

    def _widths(self, particles: int) -> list[int]:
        """How many particles every run of a program has."""
        return [particles] if self.vectorized else [1] * particles

    def _run(self, program: Callable, which: int, width: int, held: poutine.Trace | None = None) -> poutine.Trace:
        """A trace of the model (0) or the guide (1), in a plate of particles, with what is in a trace held."""
        if width > 1:
            program = pyro.plate(PLATE, width, dim=-1 - self.nesting)(program)
        if held is not None:
            program = poutine.replay(program, trace=held)
        trace = poutine.trace(program).get_trace(*self.arguments, **self.keywords)
        self.reading.confirm(trace, which)
        return trace

    def _held(self, values: Values, particles: int) -> Traces:
        """For every run a trace with these values in it; subsamples stay what they were."""
        return [
            replayable(self._guides[0], {name: self._of_run(name, value, k) for name, value in values.items()})
            for k in range(len(self._widths(particles)))
        ]

    def _of_run(self, name: str, value: Tensor, k: int) -> Tensor:
        """The values of a latent in the k-th run."""
        site: Mapping[str, Any] = self._guides[0].nodes[name]
        own, event = site["value"], len(site["fn"].event_shape)
        if self.vectorized or value.dim() < 1 + self.nesting + event:
            return value
        return value[k].reshape(own.shape)

    def _guides_at(self, values: Values | None, particles: int | None) -> Traces:
        if values is None:
            return self._guides
        count = particles or self.particles
        held = self._held(values, count)
        return [self._run(self.guide, 1, width, h) for width, h in zip(self._widths(count), held, strict=True)]

    def _models_at(self, values: Values, particles: int, guides: Traces) -> Traces:
        """Runs of the model at latents, and at the point masses that the guide's runs there have found."""
        held = [replayable(trace) for trace in guides] if guides else self._held(values, particles)
        return [self._run(self.model, 0, width, h) for width, h in zip(self._widths(particles), held, strict=True)]

    @property
    @abstractmethod
    def values(self) -> dict[str, Tensor]:
        """The drawn latents by name."""

    @cached_property
    def _models(self) -> Traces:
        return self._models_at(self.values, self.particles, self._guides)

    @property
    def runs(self) -> Iterator[tuple[poutine.Trace, poutine.Trace]]:
        """The model's trace and the guide's, of every run."""
        return zip(self._models, self._guides, strict=True)

    def runs_at(self, values: Values) -> Iterator[tuple[poutine.Trace, poutine.Trace]]:
        """The same with latents elsewhere."""
        guides = self._guides_at(values, None)
        return zip(self._models_at(values, self.particles, guides), guides, strict=True)

    @property
    def traces(self) -> tuple[poutine.Trace, poutine.Trace]:
        """The model's trace and the guide's, as Pyro has them; of the first particle where each has its own."""
        return self._models[0], self._guides[0]

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """The plates that make the data independent, as these runs have them, from the left."""
        shared = {plate.dim: plate for plate in self.reading.shared}
        drawn = [frame for site in latents(self._guides[0]) for frame in site["cond_indep_stack"]]
        if not drawn and shared:  # the model alone can tell
            drawn = [frame for site in sites(self._models[0]) for frame in site["cond_indep_stack"]]
        found = {frame.dim: frame for frame in drawn if frame.name != PLATE and frame.dim in shared}
        return tuple(found[dim] for dim in sorted(found))
