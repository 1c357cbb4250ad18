"""The numbers that a loss is probed with: shapes that it may take, and values for each of its arguments."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice, product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SLOTS = ("output", "x", "mu", "head", "z", "eps", "spread", "gate", "prior_mu", "prior_head", "q")
Probe = dict[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """How a probe is shaped. The small sizes differ, so that no axis can be taken for another."""

    batch: int = 4
    datum: tuple[int, ...] = (7,)
    latents: tuple[int, ...] = (3,)
    output: str = "unit"  # the decoder's output lies in (0, 1), or is real
    target: str = "unit"  # the data lie in (0, 1), are binary, counts, or classes
    class_axis: int | None = None  # of the decoder's output, for classes
    particles: int = 0
    flat_output: bool = False  # the output is flat and the data are images
    dtype: torch.dtype = torch.float64
    wired: frozenset[str] = frozenset()  # the sizes that the code insists on
    stated: frozenset[str] = frozenset()  # the sizes that the caller says, at which numbers are quoted

    @property
    def lead(self) -> tuple[int, ...]:
        return (self.batch, self.particles) if self.particles else (self.batch,)

    @property
    def data(self) -> int:
        return int(np.prod(self.datum, dtype=int))

    @property
    def latent(self) -> int:
        return int(np.prod(self.latents, dtype=int))

    @property
    def sizes(self) -> dict[str, int]:
        return {"batch": self.batch, "data": self.data, "latent": self.latent}

    @property
    def said(self) -> str:
        """Its shapes as a person writes them."""
        names = {0: "()", 1: "(batch, n)", 2: "(batch, steps, n)", 3: "(batch, channels, height, width)"}
        names |= {4: "(batch, frames, channels, height, width)"}
        if self.class_axis is not None:
            kind = {0: "one class per datum", 1: "sequences of classes"}.get(len(self.datum), "images of classes")
        else:
            kind = f"data {names.get(len(self.datum), self.datum)}"
        latents = {1: "", 2: ", latents (batch, steps, n)", 3: ", latents (batch, channels, height, width)"}
        return kind + latents.get(len(self.latents), f", latents {self.latents}")

    @property
    def tolerance(self) -> float:
        """Relative; an epsilon of 1e-5 inside a logarithm passes, and wrong shapes are off by parts in ten."""
        return 1e-4 if self.dtype == torch.float64 else 2e-3

    def doubled(self, axis: str) -> "Layout | None":
        if axis in self.wired:
            return None
        if axis == "batch":
            return replace(self, batch=2 * self.batch)
        if axis == "latent":
            return replace(self, latents=_longer(self.latents))
        return replace(self, datum=_longer(self.datum)) if self.datum else None


def _longer(shape: tuple[int, ...]) -> tuple[int, ...]:
    """With its longest axis twice as long."""
    longest = max(range(len(shape)), key=lambda i: shape[i])
    return tuple(2 * n if i == longest else n for i, n in enumerate(shape))


CLASSES = 5
_NONE: frozenset[str] = frozenset()
_WIRED = frozenset({"data"})
_LAYOUTS = (
    {"datum": (7,)},
    {"datum": (7, 5)},
    {"datum": (1, 7, 5)},
    {"datum": (7, 5, 1)},
    {"datum": (3, 7, 5)},
    {"datum": (784,), "wired": _WIRED},
    {"datum": (1, 28, 28), "wired": _WIRED},
    {"datum": (1, 28, 28), "wired": _WIRED, "flat_output": True},
    {"datum": (28, 28), "wired": _WIRED},
    {"datum": (28, 28, 1), "wired": _WIRED},
    {"datum": (7,), "target": "classes", "class_axis": -1},
    {"datum": (7,), "target": "classes", "class_axis": 1},
    {"datum": (), "target": "classes", "class_axis": -1},
    {"datum": (7, 5), "target": "classes", "class_axis": 1},
    {"datum": (3, 32, 32), "wired": _WIRED},
    {"datum": (3072,), "wired": _WIRED},
    {"datum": (64,), "wired": _WIRED},
    {"datum": (4096,), "wired": _WIRED},
    {"datum": (1, 64, 64), "wired": _WIRED},
    {"datum": (3, 64, 64), "wired": _WIRED},
    {"datum": (2, 3, 7, 5)},
)
_OPTIONS: tuple[Sequence[dict[str, Any]], ...] = (
    [{}, {"target": "binary"}, {"target": "counts"}],
    [{}, {"dtype": torch.float32}],
    [{"latents": shape} for shape in ((3,), (20,), (2,), (10,), (3, 4, 5), (6, 3), (32,), (16,), (64,), (128,))],
    [{"batch": n} for n in (4, 128, 64, 32, 100)],
    [{}, {"particles": 5}],
)
_LARGEST = 128 * 784  # numbers in a batch, so that a loss which always raises does so soon


def layouts(output: str, tries: int = 400, *, classes: bool = False) -> Iterator[Layout]:
    """Shapes and values to try, the most ordinary first.

    Args:
        output: the domain of the decoder's output.
        tries: how many at most; 400 allow for two things out of the ordinary, and for most threes.
        classes: only those whose data are classes.
    """
    domains = [{"output": output}, {"output": "real" if output == "unit" else "unit"}]
    ordered = (_setting((_LAYOUTS, domains, *_OPTIONS), indexes) for indexes in _indexes())
    fitting = (s for s in ordered if s.batch * s.data <= _LARGEST and (s.target == "classes" or not classes))
    yield from islice(fitting, tries)


@cache
def _indexes() -> list[tuple[int, ...]]:
    """One choice of every option, the most ordinary first."""
    sizes = (len(_LAYOUTS), 2, *map(len, _OPTIONS))
    return sorted(product(*map(range, sizes)), key=_oddity)


def _oddity(indexes: Sequence[int]) -> tuple[int, int]:
    """How many things are out of the ordinary; particles count for two, because their axis passes for a pixel's."""
    return sum(map(bool, indexes)) + bool(indexes[-1]), sum(indexes)


def _setting(options: Sequence[Sequence[dict[str, Any]]], indexes: Sequence[int]) -> Layout:
    """One choice of every option; an earlier one overrules a later one."""
    merged: dict[str, Any] = {}
    for option, index in zip(options, indexes, strict=True):
        merged = option[index] | merged
    *_, latent, batch, _ = indexes
    one_number = latent and len(merged["latents"]) == 1
    wired = merged.get("wired", _NONE) | ({"latent"} if one_number else _NONE) | ({"batch"} if batch else _NONE)
    return Layout(**merged | {"wired": wired})


def draw(layout: Layout, seed: int, *, size: float = 1.0, real_head: bool = False) -> Probe:
    """Numbers for every slot: mu of the given size and away from 0, a head that is positive unless told otherwise."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(shape: tuple[int, ...], low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)

    latent, datum = (*layout.lead, *layout.latents), (*layout.lead, *layout.datum)
    sign = uniform(latent, -1, 1).sign()
    point = {
        "mu": size * sign * uniform(latent, 0.6, 1.4),
        "head": uniform(latent, -1.3, 1.3) if real_head else uniform(latent, 0.35, 1.8),
        "z": 1.5 * torch.randn(latent, generator=generator, dtype=torch.float64),
        "eps": torch.randn(latent, generator=generator, dtype=torch.float64),
        "x": uniform(datum, 0.05, 0.95),
    }
    shape = datum
    if layout.class_axis is not None:
        shape = (*datum, CLASSES) if layout.class_axis == -1 else (layout.batch, CLASSES, *layout.datum)
    elif layout.flat_output:
        shape = (*layout.lead, layout.data)
    values = uniform(shape, 0.1, 0.9)
    point["output"] = values if layout.output == "unit" else 4 * (values - 0.5)
    point |= {
        "prior_mu": uniform(latent, -1, 1),
        "prior_head": uniform(latent, 0.4, 1.6),
        "q": uniform((*layout.lead, *layout.latents, CLASSES), 0.2, 1),
        "spread": uniform(shape, 0.4, 1.4),
        "gate": uniform(shape, -1, 1),
    }
    point["q"] = point["q"] / point["q"].sum(-1, keepdim=True)
    if layout.target == "binary":
        point["x"] = point["x"].round()
    elif layout.target == "counts":
        point["x"] = (8 * point["x"]).round()
    point = {slot: value.to(layout.dtype) for slot, value in point.items()}
    if layout.target == "classes":
        # Without class 0, which is padding for many.
        point["x"] = torch.randint(1, CLASSES, datum, generator=generator)
    return point


def one_hot(layout: Layout, point: Probe) -> Tensor:
    """x with the shape of the decoder's output."""
    if layout.class_axis is None:
        return point["x"].reshape(point["output"].shape)
    return F.one_hot(point["x"], CLASSES).movedim(-1, layout.class_axis).to(layout.dtype)
