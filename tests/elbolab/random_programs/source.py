"""A random program as Pyro code: what runs is what is printed."""

import linecache
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyro
import torch
from torch import Tensor

from tests.elbolab.random_programs.program import CONSTANTS, WORD, Plate, Program, Site

HEADER = """\
import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import constraints
from torch import nn

torch.set_default_dtype(torch.float64)
"""


@dataclass
class Runnable:
    """A program that has been run once as code: model, guide, arguments; parameters are found by name."""

    program: Program
    model: Any
    guide: Any
    args: tuple
    keywords: dict[str, Any]

    def parameters(self) -> dict[str, Tensor]:
        """The unconstrained leaves, after the first call; whichever place they live in."""
        found: dict[str, Tensor] = {}
        store = pyro.get_param_store()
        for name in self.program.parameters:
            owners = [owner for owner in (self.model, self.guide) if isinstance(owner, torch.nn.Module)]
            named = [p for owner in owners for key, p in owner.named_parameters() if name in _leaves(key)]
            found[name] = named[0] if named else store._params[name]
        return found


def _leaves(key: str) -> set[str]:
    """What a module's parameter may be called in the program: an AutoDelta's is a latent's point."""
    name = key.removesuffix("_unconstrained").replace(".", "_")
    return {name, f"point_{name}"}


def source(program: Program, copies: int = 1) -> str:
    """The code, with the cells of the plates that all latents are in repeated `copies` times."""
    writer = _Writer(program, copies)
    lines = [*writer.constants(), *writer.side("model"), *writer.side("guide"), *writer.call()]
    text = "\n".join(lines)
    for old, new in program.patches:
        assert old in text, f"{old} is not in {program.name}"
        text = text.replace(old, new)
    return f"{HEADER}{text}\n"


def arguments(program: Program) -> str:
    """Of model and guide, as they are called."""
    positional = [name for name in program.data if name not in program.keywords]
    return ", ".join(positional + [f"{name}={name}" for name in program.keywords])


def build(program: Program, copies: int = 1) -> Runnable:
    """Model, guide and arguments of the code, in a clean parameter store."""
    pyro.clear_param_store()
    text = source(program, copies)
    file = f"<random program {program.name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    space: dict[str, Any] = {}
    exec(compile(text, file, "exec"), space)
    names = [name for name in program.data if name not in program.keywords]
    return Runnable(
        program,
        space["model"],
        space["guide"],
        tuple(space[name] for name in names),
        {name: space[name] for name in program.keywords},
    )


class _Writer:
    def __init__(self, program: Program, copies: int):
        self.program, self.copies = program, copies
        self.repeated = program.repeated() if copies > 1 else ""
        self.indexed = {plate.name for plate in program.plates.values() if plate.subsample or plate.sequential}

    def constants(self) -> list[str]:
        lines = [f"{name} = torch.tensor({list(values)})" for name, values in CONSTANTS.items() if self._mentions(name)]
        for name, datum in self.program.data.items():
            lines.append(f"{name} = {_literal(datum.value)}{self._repeat(datum.plates, datum.event_dim)}")
        return lines

    def side(self, which: str) -> list[str]:
        program = self.program
        sites: tuple[Site, ...] = getattr(program, which)
        if which == "guide" and program.auto:
            return self._auto()
        body = self._parameters(which) + self._plates(sites)
        for plates, group in groupby(sites, key=lambda site: site.plates):
            body += self._block(plates, list(group))
        signature = self._signature()
        if program.style == "param":
            return ["", "", f"def {which}({signature}):", *_indent(body)]
        own = sorted(self._own(which))
        base = "pyro.nn.PyroModule" if program.style == "pyro_module" else "nn.Module"
        inner = ["super().__init__()"] + [
            f"self.{name} = nn.Parameter({_literal(program.parameters[name].value)})" for name in own
        ]
        if program.style == "module":
            body = [f'pyro.module("{which}", self)', *body]
        lines = ["def __init__(self):", *_indent(inner), "", f"def forward(self, {signature}):", *_indent(body)]
        name = which.capitalize()
        return ["", "", f"class {name}({base}):", *_indent(lines), "", "", f"{which} = {name}()"]

    def _auto(self) -> list[str]:
        """An AutoGuide makes its parameters when first called."""
        program = self.program
        lines = [
            "",
            f"guide = pyro.infer.autoguide.{program.auto}(model)",
            f"guide({arguments(program)})",
            "values = {",
        ]
        for name in sorted(program.used(program.guide)):
            lines.append(f'    "{name.removeprefix("point_")}": {_literal(program.parameters[name].value)},')
        lines += ["}", "for name, leaf in guide.named_parameters():"]
        return [*lines, '    leaf.data = values[name.removesuffix("_unconstrained").replace(".", "_")]']

    def call(self) -> list[str]:
        return ["", f"# called as estimator.{self.program.call}(model, guide, {arguments(self.program)})"]

    def _mentions(self, word: str) -> bool:
        return any(word in site.words() for site in self.program.model + self.program.guide)

    def _signature(self) -> str:
        positional = [name for name in self.program.data if name not in self.program.keywords]
        return ", ".join(positional + (["*", *self.program.keywords] if self.program.keywords else []))

    def _own(self, which: str) -> set[str]:
        """What a module holds: parameters that the other side does not use, and that are unconstrained."""
        program = self.program
        other = program.guide if which == "model" else program.model
        mine = program.used(getattr(program, which)) - program.used(other)
        return {name for name in mine if not program.parameters[name].positive and not program.parameters[name].plate}

    def _parameters(self, which: str) -> list[str]:
        program, lines = self.program, []
        own = self._own(which) if program.style != "param" else set()
        for name in sorted(program.used(getattr(program, which))):
            parameter = program.parameters[name]
            constraint = ", constraint=constraints.positive" if parameter.positive else ""
            text = f'pyro.param("{name}", {_literal(program.initial(name))}{constraint})'
            repeat = self._repeat((parameter.plate,) if parameter.plate else (), 0)
            lines.append(f"{name} = self.{name}" if name in own else f"{name} = {text}{repeat}")
        return lines

    def _plates(self, sites: tuple[Site, ...]) -> list[str]:
        used = {plate for site in sites for plate in site.plates}
        return [
            f"{plate.name} = pyro.plate({self._plate(plate)})"
            for plate in self.program.plates.values()
            if plate.name in used and not plate.sequential
        ]

    def _plate(self, plate: Plate) -> str:
        times = self.copies if plate.name == self.repeated else 1
        subsample = f", subsample_size={plate.subsample * times}" if plate.subsample else ""
        dim = "" if plate.sequential else f", dim={plate.dim}"
        return f'"{plate.name}", {plate.size * times}{subsample}{dim}'

    def _block(self, plates: tuple[str, ...], sites: list[Site]) -> list[str]:
        lines = [line for site in sites for line in self._statement(site)]
        if not plates:
            return lines
        if self.program.plates[plates[0]].sequential:
            return [f"for i in pyro.plate({self._plate(self.program.plates[plates[0]])}):", *_indent(lines)]
        opened = ", ".join(f"{p} as i" if p in self.indexed and len(self.program.plates) == 1 else p for p in plates)
        return [f"with {opened}:", *_indent(lines)]

    def _statement(self, site: Site) -> list[str]:
        args = [self._index(arg, site) for arg in site.args]
        sequential = any(self.program.plates[plate].sequential for plate in site.plates)
        name = f'f"{site.name}_{{i}}"' if sequential else f'"{site.name}"'
        if site.family == "deterministic":
            lines = [f"{site.name} = pyro.deterministic({name}, {args[0]})"]
        elif site.family == "factor":
            options = "".join(f", {key}={value}" for key, value in site.infer)
            lines = [f"pyro.factor({name}, {args[0]}{options})"]
        else:
            lines = [self._sample(site, name, args)]
        if site.mask and site.mask_by == "poutine":
            lines = [f"with poutine.mask(mask={self._index(site.mask, site)}):", *_indent(lines)]
        if site.scale != 1.0:
            scale = self._index(site.scale, site) if isinstance(site.scale, str) else site.scale
            lines = [f"with poutine.scale(scale={scale}):", *_indent(lines)]
        return lines

    def _sample(self, site: Site, name: str, args: list[str]) -> str:
        text = f"dist.{site.family}({_arguments(site, args)})"
        if not site.rsample:
            text += ".has_rsample_(False)"
        if site.event_dim and site.family not in ("OneHotCategorical", "Delta"):
            text += ".to_event(1)"
        options = f", obs={self._index(site.obs, site)}" if site.obs else ""
        if site.mask and site.mask_by == "distribution":
            text += f".mask({self._index(site.mask, site)})"
        elif site.mask and site.mask_by == "obs_mask":
            options += f", obs_mask={self._index(site.mask, site)}"
        if site.infer:
            options += f", infer={dict(site.infer)}"
        target = f"{site.name} = " if site.latent else ""
        return f"{target}pyro.sample({name}, {text}{options})"

    def _index(self, expression: str, site: Site) -> str:
        """Data and parameters of a plate's cells, where only some of them are drawn or they are taken one by one."""

        def one(match) -> str:
            word = match.group()
            datum, parameter = self.program.data.get(word), self.program.parameters.get(word)
            plates = datum.plates if datum else (parameter.plate,) if parameter and parameter.plate else ()
            if not self.indexed.intersection(plates):
                return word
            if len(self.program.plates) == 1:
                return f"{word}[i]"
            return f"pyro.subsample({word}, event_dim={datum.event_dim if datum else 0})"

        return WORD.sub(one, expression)

    def _repeat(self, plates: tuple[str, ...], event_dim: int) -> str:
        if not self.repeated or self.repeated not in plates:
            return ""
        depth = -min(self.program.plates[plate].dim for plate in plates)
        times = [1] * depth + [1] * event_dim
        times[depth + self.program.plates[self.repeated].dim] = self.copies
        return f".repeat({', '.join(map(str, times))})"


def _arguments(site: Site, args: list[str]) -> str:
    if site.family in ("Bernoulli", "Categorical", "OneHotCategorical"):
        return f"logits={args[0]}"
    if site.family == "Delta":
        density = f", log_density={args[1]}" if len(args) > 1 else ""
        return f"{args[0]}{density}, event_dim={site.event_dim}"
    return ", ".join(args)


def _literal(value: Tensor) -> str:
    return f"torch.tensor({value.tolist()})"


def _indent(lines: list[str]) -> list[str]:
    return [f"    {line}" if line else line for line in lines]
