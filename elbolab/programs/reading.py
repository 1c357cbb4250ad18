"""The one place where a model and a guide are read: what every site is, its plates, and what it depends on."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.util import check_model_guide_match, check_site_shape
from torch import nn

from elbolab.generators import generator_states, kept_generators
from elbolab.programs.dependence import Dependence
from elbolab.programs.following import Follow, followed, with_cuts, with_jumps
from elbolab.programs.marks import NOTHING
from elbolab.programs.opaque import changed, other_generators
from elbolab.programs.sites import Plate, Site, drawing, look, replayable, sites
from elbolab.validation import unvalidated


class ProgramsChanged(Exception):
    """The programs have other sites than when they were read."""


@dataclass(frozen=True)
class Reading:
    """The sites of a model and a guide by their names, in the order in which they are met.

    `nesting` is how deep plates are nested; `shared` the plates that every site is in that depends on a latent, which
    make the data independent given the parameters; `mixes` whether they are found not to be, for all that, and `mixed`
    the names of the other plates of latents whose elements are not. `same` gives a plate of the guide the model's name.
    `looks` tells whether a later run is of the same programs.
    """

    model: Mapping[str, Site]
    guide: Mapping[str, Site]
    nesting: int
    shared: tuple[Plate, ...]
    looks: tuple[frozenset[tuple], frozenset[tuple]]
    mixes: bool = False
    mixed: frozenset[str] = frozenset()
    same: Mapping[Plate, Plate] = field(default_factory=dict)

    def plates(self, site: Site) -> frozenset[Plate]:
        """The plates of a site, by the model's names."""
        return frozenset(self.same.get(plate, plate) for plate in site.plates)

    @property
    def latents(self) -> list[Site]:
        """What the guide draws."""
        return [site for site in self.guide.values() if site.role == "latent"]

    @property
    def others(self) -> list[Site]:
        """What else the guide puts into the objective: point masses, factors and observed sites."""
        return [site for site in self.guide.values() if site.role in ("point mass", "factor", "observed")]

    @property
    def sites(self) -> list[Site]:
        """Those of the guide, and those of the model."""
        return [*self.guide.values(), *self.model.values()]

    @property
    def noisy(self) -> bool:
        """Whether something that no sample statement draws goes into a density."""
        return any(site.noise for site in self.sites)

    def where(self, chosen: Callable[[Site], bool], **changes: Any) -> "Reading":
        """The same with some sites changed."""
        model, guide = (
            {name: replace(site, **changes) if chosen(site) else site for name, site in program.items()}
            for program in (self.model, self.guide)
        )
        return replace(self, model=model, guide=guide)

    @property
    def joint(self) -> list[Site]:
        """Sites that depend on latents and are in a plate that some other such site is outside of."""
        shared = {plate.dim for plate in self.shared}
        return [site for site in _related(self.model, self.guide) if {plate.dim for plate in site.plates} - shared]

    def descendants(self, name: str) -> frozenset[str]:
        """The guide's latents whose distribution depends on that one, through others too."""
        found: frozenset[str] = NOTHING
        for site in self.latents:
            if site.depends & (found | {name}):
                found |= {site.name}
        return found

    def layers(self) -> list[list[str]]:
        """The latents in groups that are independent given the groups before them."""
        depth: dict[str, int] = {}
        for site in self.latents:
            depth[site.name] = 1 + max((depth[name] for name in site.depends), default=-1)
        return [[name for name in depth if depth[name] == d] for d in range(max(depth.values(), default=-1) + 1)]

    def confirm(self, trace: poutine.Trace, which: int) -> None:
        """Raises ProgramsChanged where a trace of the model (0) or the guide (1) is not what was read."""
        if look(trace) != self.looks[which]:
            raise ProgramsChanged


def read(model: Callable, guide: Callable, arguments: tuple = (), keywords: Mapping[str, Any] | None = None) -> Reading:
    """Runs both programs once, without a trace in generators, buffers or handlers, and says what they are.

    Raises:
        ValueError: the shapes of a site do not fit its plates, or model and guide disagree about them.
    """

    def run(dependence: Dependence) -> tuple[poutine.Trace, poutine.Trace]:
        with undisturbed(model, guide), unvalidated(handlers=False):
            (first, _), (second, _) = _run(model, guide, arguments, keywords or {}, dependence)
            return first, second

    found, moved = _read_once(model, guide, arguments, keywords or {})
    if found.noisy:
        # What a first run draws may have been to begin with: a value of a parameter, or of an AutoGuide's prototype.
        found, moved = _read_once(model, guide, arguments, keywords or {})
    if any(site.cut and site.cut.number for site in found.sites):
        names = changed(run)
        found = found.where(lambda site: bool(site.cut and site.cut.number) and site.name not in names, cut=None)
    if moved and (names := changed(run, other_generators)):
        found = found.where(lambda site: site.name in names, noise="NumPy's or Python's generator")
    return found


def _run(
    model: Callable, guide: Callable, arguments: tuple, keywords: Mapping[str, Any], dependence: Dependence
) -> tuple[tuple[poutine.Trace, Follow], tuple[poutine.Trace, Follow]]:
    """The guide's trace and what was found in it, and the model's, replayed."""
    first = followed(drawing(guide), arguments, keywords, dependence)
    held = replayable(first[0])
    return first, followed(poutine.replay(model, trace=held), arguments, keywords, dependence, held.nodes)


def _read_once(model: Callable, guide: Callable, arguments: tuple, keywords: Mapping[str, Any]) -> tuple[Reading, bool]:
    """What is found in one run of both, and whether it moved a generator that is not PyTorch's."""
    with undisturbed(model, guide), unvalidated(handlers=False):
        before = generator_states()
        runs = _run(model, guide, arguments, keywords, Dependence())
        moved = generator_states() != before
        (guide_trace, in_guide), (model_trace, in_model) = runs
        with_jumps(in_guide, in_model)
        with_cuts([in_guide, in_model])
        guide_sites, model_sites = in_guide.found, in_model.found
        every = (*guide_sites.values(), *model_sites.values())
        nesting = max((-plate.dim for site in every for plate in site.plates if plate.dim), default=0)
        _check_shapes(model_trace, guide_trace, nesting)
    same = _same(model_sites, guide_sites)
    shared = _shared(model_sites, guide_sites, same)
    looks = look(model_trace), look(guide_trace)
    return Reading(model_sites, guide_sites, nesting, shared, looks, same=same), moved


@contextmanager
def undisturbed(*programs: Any) -> Iterator[None]:  # noqa: ANN401
    """Programs can be run here to be looked at: no generator or buffer moves, no gradient, no handler outside sees."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    modules = [program for program in programs if isinstance(program, nn.Module)]
    buffers = [(buffer, buffer._version, buffer.clone()) for module in modules for buffer in module.buffers()]
    with torch.random.fork_rng(devices=devices), kept_generators(), torch.no_grad(), poutine.block():
        try:
            yield
        finally:
            for buffer, version, value in buffers:
                if buffer._version != version:  # else it was not written to
                    buffer.copy_(value)


def _related(model: Mapping[str, Site], guide: Mapping[str, Site]) -> list[Site]:
    """The sites of both programs whose density has to do with what is drawn; all, where nothing is."""
    terms = [site for program in (guide, model) for site in program.values() if site.role != "deterministic"]
    drawn = {site.name for site in guide.values() if site.role == "latent"}
    return [site for site in terms if site.name in drawn or site.depends or site.seen] or terms


def _same(model: Mapping[str, Site], guide: Mapping[str, Site]) -> dict[Plate, Plate]:
    """The guide's plates, and the model's that they are: what both programs draw tells."""
    same: dict[Plate, Plate] = {}
    for name in guide.keys() & model.keys():
        by_dim = {plate.dim: plate for plate in model[name].plates}
        same |= {plate: by_dim.get(plate.dim, plate) for plate in guide[name].plates}
    return same


def _shared(model: Mapping[str, Site], guide: Mapping[str, Site], same: Mapping[Plate, Plate]) -> tuple[Plate, ...]:
    """The plates, by the model's names, that all of these are in."""
    stacks = [{same.get(p, p) for p in site.plates if p.dim is not None} for site in _related(model, guide)]
    return tuple(sorted(set.intersection(*stacks), key=lambda plate: plate.dim or 0)) if stacks else ()


def _check_shapes(model: poutine.Trace, guide: poutine.Trace, nesting: int) -> None:
    """Pyro's own checks, which it makes where validation is on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they warn of is refused, in words of our own
        check_model_guide_match(model, guide, nesting)
    for site in (*sites(model), *sites(guide)):
        term = scale_and_mask(site["fn"].log_prob(site["value"]), 1.0, site["mask"])
        checked: Any = dict(site) | {"log_prob": term}
        check_site_shape(checked, nesting)
