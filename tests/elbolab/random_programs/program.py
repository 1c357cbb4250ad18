"""What a random program is: plates, sites, parameters and data, from which code is written and answers are computed.

Arguments of distributions are expressions over the names of parameters, data, latents and deterministic sites. The same
text stands in the Pyro program, where a name is a tensor with the axes of its plates, and in the exact answer, where
it is the value in one cell of the plates with an axis for the points of a grid.
"""

import re
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

# Fixed directions and score tables that features of vectors and categories are read with.
CONSTANTS = {"c2": (1.0, -0.6), "c3": (-0.5, 0.3, 1.1)}
WORD = re.compile(r"(?<![.\w\"])[A-Za-z_]\w*")


@dataclass(frozen=True)
class Plate:
    """`size` cells, of which `subsample` are drawn without replacement; sequential ones are a Python loop."""

    name: str
    size: int
    dim: int = -1
    subsample: int = 0
    sequential: bool = False


@dataclass(frozen=True)
class Site:
    """A `pyro.sample`, `pyro.factor` or `pyro.deterministic` statement.

    `size` is the length of its event, 0 for a scalar, or the number of categories. A mask is applied by
    `poutine.mask`, by the distribution's `.mask`, or is an `obs_mask`. A scale is a
    number, or names data with one for every cell.
    """

    name: str
    family: str
    args: tuple[str, ...]
    size: int = 0
    plates: tuple[str, ...] = ()
    obs: str = ""
    scale: float | str = 1.0
    mask: str = ""
    mask_by: str = "poutine"
    infer: tuple[tuple[str, object], ...] = ()
    rsample: bool = True

    @property
    def latent(self) -> bool:
        return not self.obs and self.family not in ("factor", "deterministic")

    @property
    def event_dim(self) -> int:
        return int(self.family == "OneHotCategorical" or (self.size > 0 and self.family != "Categorical"))

    def words(self) -> set[str]:
        return {word for expression in self.args for word in WORD.findall(expression)}


@dataclass(frozen=True)
class Parameter:
    """Its unconstrained value. A positive one is its exponential; one with a plate has a value per cell."""

    value: Tensor
    positive: bool = False
    plate: str = ""


@dataclass(frozen=True)
class Datum:
    """A tensor with the axes of its plates by their dims, and of an event."""

    value: Tensor
    plates: tuple[str, ...] = ()
    event_dim: int = 0


@dataclass(frozen=True)
class Program:
    """A model and a guide. `auto` names the AutoGuide that `guide` spells out.

    `style` says where parameters live, `call` how the objective is called, `vectorize` whether particles are
    vectorised. `patches` replace parts of the code by others that mean the same or, with `must_refuse`, nothing at all.
    """

    name: str
    plates: dict[str, Plate] = field(default_factory=dict)
    model: tuple[Site, ...] = ()
    guide: tuple[Site, ...] = ()
    parameters: dict[str, Parameter] = field(default_factory=dict)
    data: dict[str, Datum] = field(default_factory=dict)
    auto: str = ""
    style: str = "param"
    call: str = "loss_and_grads"
    vectorize: bool = True
    keywords: tuple[str, ...] = ()
    patches: tuple[tuple[str, str], ...] = ()
    must_refuse: str = ""

    def latents(self) -> tuple[Site, ...]:
        return tuple(site for site in self.guide if site.latent)

    def local(self) -> bool:
        """Whether all that is drawn or learned is in one plate, so that data can be repeated to have more draws."""
        common = self.common_plates()
        return bool(common) and not self.auto and not any(self.plates[plate].sequential for plate in common)

    def common_plates(self, points: bool = True) -> tuple[str, ...]:
        """The plates that all latents of the guide are in; without `points`, all that are not learned points."""
        inside = [set(site.plates) for site in self.latents() if points or not self.is_point(site)]
        return tuple(plate for plate in self.plates if inside and all(plate in plates for plates in inside))

    def repeated(self) -> str:
        """The plate whose cells can be repeated: the innermost of those that all latents are in."""
        return self.common_plates()[-1] if self.local() else ""

    def is_point(self, site: Site) -> bool:
        """Whether a latent of the guide is a Delta that depends on no draw."""
        above = [other for other in self.guide if other.name in site.words()]
        return site.family == "Delta" and all(self.is_point(other) for other in above)

    @property
    def refuse(self) -> str:
        """Why no answer is defined, if none is: then a refusal alone is right."""
        if self.must_refuse:
            return self.must_refuse
        drawn = {site.name for site in self.guide}
        missing = [site.name for site in self.model if site.latent and site.name not in drawn]
        missing += [
            f"{site.name}_unobserved"
            for site in self.model
            if site.mask and site.mask_by == "obs_mask" and f"{site.name}_unobserved" not in drawn
        ]
        return f"the guide does not draw {', '.join(missing)}" if missing else ""

    @property
    def refuse_multisample(self) -> str:
        """Why there is no multi-sample bound: part of what is in one weight would be a subsample's."""
        common = self.common_plates(points=False)
        bound = [site for side in (self.model, self.guide) for site in side if self._depends(site, side)]
        inside = {plate for site in bound for plate in site.plates} - set(common)
        drawn = sorted(plate for plate in inside if self.plates[plate].subsample)
        return f"what is drawn for all of {', '.join(drawn)} is weighed with a subsample" if drawn else ""

    @property
    def units(self) -> tuple[tuple[str, ...], ...]:
        """The plates whose cells a multi-sample bound may take as its units.

        A cell of the plates that all latents are in, Deltas left aside or not; all data are one unit, too, where an
        AutoGuide draws them as one vector or a Python loop goes over them.
        """
        common = self.common_plates()
        drawn = self.common_plates(points=False)
        loop = any(self.plates[plate].sequential for plate in common)
        return tuple(dict.fromkeys((common, drawn, *([()] if loop or self.auto else []))))

    def _depends(self, site: Site, side: tuple[Site, ...]) -> bool:
        """Whether its density is a latent's or depends on one."""
        if site.latent:
            return not any(other.name == site.name and self.is_point(other) for other in self.guide)
        return any(other.name in site.words() and self._depends(other, side) for other in side if other is not site)

    def used(self, side: tuple[Site, ...]) -> set[str]:
        return {word for site in side for word in site.words()} & set(self.parameters)

    def initial(self, name: str) -> Tensor:
        parameter = self.parameters[name]
        return parameter.value.exp() if parameter.positive else parameter.value


def tensor(values) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def pruned(program: Program) -> Program:
    """Without parameters, data and plates that nothing mentions."""
    sites = program.model + program.guide
    used = {word for site in sites for word in site.words() | {site.obs, site.mask, str(site.scale)}}
    data = {name: datum for name, datum in program.data.items() if name in used}
    return replace(
        program,
        parameters={name: p for name, p in program.parameters.items() if name in used},
        data=data,
        keywords=tuple(name for name in program.keywords if name in data),
    )
