"""The one place where a model and a guide are read: what every site is, its plates, and what it depends on."""

import warnings
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine.messenger import Messenger
from pyro.util import check_model_guide_match, check_site_shape
from torch import Tensor, nn

from elbolab.programs.dependence import NOTHING, Dependence
from elbolab.programs.sites import Plate, Site, drawing, is_subsample, look, replayable, role, sites
from elbolab.validation import unvalidated

_MANY = 64  # structures of arguments that are remembered, such as sizes of a batch


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
    keywords = keywords or {}
    with undisturbed(model, guide), unvalidated(handlers=False):
        dependence = Dependence()
        guide_trace, guide_sites, jumps = _followed(drawing(guide), arguments, keywords, dependence)
        held = replayable(guide_trace)
        program = poutine.replay(model, trace=held)
        model_trace, model_sites, more = _followed(program, arguments, keywords, dependence, held.nodes)
        for name, how in (jumps | more).items():
            guide_sites[name] = replace(guide_sites[name], jumps=how)
        every = (*guide_sites.values(), *model_sites.values())
        nesting = max((-plate.dim for site in every for plate in site.plates if plate.dim), default=0)
        _check_shapes(model_trace, guide_trace, nesting)
    same = _same(model_sites, guide_sites)
    shared = _shared(model_sites, guide_sites, same)
    return Reading(model_sites, guide_sites, nesting, shared, (look(model_trace), look(guide_trace)), same=same)


@contextmanager
def undisturbed(*programs: Any) -> Iterator[None]:  # noqa: ANN401
    """Programs can be run here to be looked at: no generator or buffer moves, no gradient, no handler outside sees."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    modules = [program for program in programs if isinstance(program, nn.Module)]
    buffers = [(buffer, buffer._version, buffer.clone()) for module in modules for buffer in module.buffers()]
    with torch.random.fork_rng(devices=devices), torch.no_grad(), poutine.block():
        try:
            yield
        finally:
            for buffer, version, value in buffers:
                if buffer._version != version:  # else it was not written to
                    buffer.copy_(value)


class _Follow(Messenger):
    """Names the latents' values, and finds which names the density of every site carries."""

    def __init__(self, dependence: Dependence, held: Collection[str]) -> None:
        super().__init__()
        self.dependence, self.held, self.found = dependence, held, dict[str, Site]()
        self.jumps: dict[str, str] = {}

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        if msg["type"] != "sample" or is_subsample(msg):
            return
        name, kind, follow = msg["name"], role(msg), self.dependence
        seen = follow.of(msg["value"])
        # What the density depends on besides the value: the value is looked at without its names.
        value = msg["value"].detach().clone()
        follow.forget(value)
        try:
            density = msg["fn"].log_prob(value)
        except NotImplementedError:  # a flow that knows the density of what it has drawn, and of nothing else
            value = msg["value"]
            density = msg["fn"].log_prob(value)
        terms = density, msg["mask"], msg["scale"]
        depends = follow.of(terms)
        if kind != "deterministic":
            self.jumps |= dict(sorted(follow.jumps((terms, msg["value"]))))
        # Drawn here; what is replayed is what it was computed from: a point mass is a function of latents.
        if kind == "latent" and name not in seen and not (seen and name in self.held):
            msg["value"] = value
            follow.mark(value, frozenset({name}))
        self.found[name] = Site.of(msg, depends=depends, seen=seen)


def _followed(
    program: Callable,
    arguments: tuple,
    keywords: Mapping[str, Any],
    dependence: Dependence,
    held: Collection[str] = (),
) -> tuple[poutine.Trace, dict[str, Site], dict[str, str]]:
    """A run's trace, its sites, and where latents are compared or rounded before they reach a density."""
    with dependence, _Follow(dependence, held) as follow:
        trace = poutine.trace(program).get_trace(*arguments, **keywords)
    return trace, follow.found, follow.jumps


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


class Readings:
    """What was read of programs, kept for as long as they, and the structure of their arguments, are the same."""

    def __init__(self) -> None:
        self._kept: dict[tuple, tuple[Any, Reading]] = {}

    def of(
        self, model: Callable, guide: Callable, arguments: tuple, keywords: Mapping[str, Any], reader: Callable
    ) -> Reading:
        """What is known of these programs, or else what `reader(model, guide, *arguments, **keywords)` finds."""
        owners = [getattr(program, "__self__", program) for program in (model, guide)]
        key = (*map(_identity, (model, guide)), structure((arguments, keywords)))
        if key in self._kept:
            alive, reading = self._kept[key]
            if all(ref() is owner for ref, owner in zip(alive, owners, strict=True)):
                return reading
        if len(self._kept) >= _MANY:
            self._kept.pop(next(iter(self._kept)))
        reading = reader(model, guide, *arguments, **keywords)
        self._kept[key] = [weakref.ref(owner) for owner in owners], reading
        return reading

    def clear(self) -> None:
        """Forgets all."""
        self._kept.clear()

    def __reduce__(self) -> tuple:
        return Readings, ()  # a copy's programs may be others


def _identity(program: Callable) -> tuple:
    """A method is made anew whenever it is asked for: its object and its function are what it is."""
    owner = getattr(program, "__self__", program)
    return id(owner), id(getattr(program, "__func__", None)), getattr(owner, "training", None)


def structure(arguments: Any) -> Any:  # noqa: ANN401
    """What of a program's arguments may change which sites it has: not their numbers, but shapes and switches."""
    if isinstance(arguments, Tensor):
        return tuple(arguments.shape), arguments.dtype
    if isinstance(arguments, list | tuple):
        return type(arguments), *map(structure, arguments)
    if isinstance(arguments, Mapping):
        return tuple((key, structure(value)) for key, value in arguments.items())
    kept: Any = arguments if isinstance(arguments, bool | str | None) else type(arguments)
    return kept
