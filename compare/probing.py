"""Calls somebody's loss on numbers: which shapes it takes, what it returns, and its gradients. Never reads its source."""

import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice, product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SLOTS = ("output", "x", "mu", "head", "z", "eps")
Point = dict[str, Tensor]


class NoTensor(ValueError):
    """The loss returned nothing that can be differentiated or added up."""


@dataclass(frozen=True)
class Setting:
    """How a probe is shaped. The small sizes differ, so that no axis can be taken for another."""

    batch: int = 4
    datum: tuple[int, ...] = (7,)
    latent: int = 3
    output: str = "unit"  # the decoder's output lies in (0, 1), or is real
    target: str = "unit"  # the data lie in (0, 1), are binary, or are classes
    class_axis: int | None = None  # of the decoder's output, for classes
    particles: int = 0
    flat_output: bool = False  # the output is flat and the data are images
    dtype: torch.dtype = torch.float64
    wired: frozenset[str] = frozenset()  # the sizes that the code insists on

    @property
    def lead(self) -> tuple[int, ...]:
        return (self.batch, self.particles) if self.particles else (self.batch,)

    @property
    def data(self) -> int:
        return int(np.prod(self.datum, dtype=int))

    @property
    def tolerance(self) -> float:
        """Relative, loose enough for an epsilon of 1e-5 inside a logarithm; the wrong shapes are off by parts in ten."""
        return 1e-4 if self.dtype == torch.float64 else 2e-3

    def doubled(self, axis: str) -> "Setting | None":
        if axis in self.wired:
            return None
        if axis != "data":
            return replace(self, **{axis: 2 * getattr(self, axis)})
        if not self.datum:
            return None
        longest = max(range(len(self.datum)), key=lambda i: self.datum[i])
        return replace(self, datum=tuple(2 * n if i == longest else n for i, n in enumerate(self.datum)))


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
    {"datum": (), "target": "classes", "class_axis": -1},
    {"datum": (7,), "target": "classes", "class_axis": -1},
    {"datum": (7,), "target": "classes", "class_axis": 1},
    {"datum": (7, 5), "target": "classes", "class_axis": 1},
    {"datum": (3, 32, 32), "wired": _WIRED},
    {"datum": (3072,), "wired": _WIRED},
    {"datum": (64,), "wired": _WIRED},
    {"datum": (4096,), "wired": _WIRED},
    {"datum": (1, 64, 64), "wired": _WIRED},
    {"datum": (3, 64, 64), "wired": _WIRED},
)
_LARGEST = 128 * 784  # numbers in a batch, so that a loss which always raises does so soon


def settings(output: str, tries: int = 400, *, classes: bool = False) -> Iterator[Setting]:
    """Shapes and values to try, the most ordinary first.

    Args:
        output: the domain of the decoder's output.
        tries: how many at most; 400 allow for two things out of the ordinary, and for most threes.
        classes: only those whose data are classes.
    """
    options = (
        _LAYOUTS,
        [{"latent": n} for n in (3, 20, 2, 10, 32, 16, 64, 128)],
        [{"output": output}, {"output": "real" if output == "unit" else "unit"}],
        [{}, {"target": "binary"}],
        [{}, {"dtype": torch.float32}],
        [{"batch": n} for n in (4, 128, 64, 32, 100)],
        [{}, {"particles": 5}],
    )
    indexes = product(*(range(len(option)) for option in options))
    ordered = (_setting(options, i) for i in sorted(indexes, key=_oddity))
    fitting = (s for s in ordered if s.batch * s.data <= _LARGEST and (s.target == "classes" or not classes))
    yield from islice(fitting, tries)


def _oddity(indexes: Sequence[int]) -> tuple[int, int]:
    """How many things are out of the ordinary; particles count for two, because their axis passes for a pixel's."""
    return sum(map(bool, indexes)) + bool(indexes[-1]), sum(indexes)


def _setting(options: Sequence[Sequence[dict[str, Any]]], indexes: Sequence[int]) -> Setting:
    """One choice of every option; an earlier one overrules a later one."""
    merged: dict[str, Any] = {}
    for option, index in zip(options, indexes, strict=True):
        merged = option[index] | merged
    wired = merged.get("wired", _NONE) | ({"latent"} if indexes[1] else _NONE) | ({"batch"} if indexes[5] else _NONE)
    return Setting(**merged | {"wired": wired})


def draw(setting: Setting, seed: int, *, size: float = 1.0, real_head: bool = False) -> Point:
    """Numbers for every slot: mu of the given size and away from 0, a head that is positive unless told otherwise."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(shape: tuple[int, ...], low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)

    latent, datum = (*setting.lead, setting.latent), (*setting.lead, *setting.datum)
    sign = uniform(latent, -1, 1).sign()
    point = {
        "mu": size * sign * uniform(latent, 0.6, 1.4),
        "head": uniform(latent, -1.3, 1.3) if real_head else uniform(latent, 0.35, 1.8),
        "z": 1.5 * torch.randn(latent, generator=generator, dtype=torch.float64),
        "eps": torch.randn(latent, generator=generator, dtype=torch.float64),
        "x": uniform(datum, 0.05, 0.95),
    }
    shape = datum
    if setting.class_axis is not None:
        shape = (*datum, CLASSES) if setting.class_axis == -1 else (setting.batch, CLASSES, *setting.datum)
    elif setting.flat_output:
        shape = (*setting.lead, setting.data)
    values = uniform(shape, 0.1, 0.9)
    point["output"] = values if setting.output == "unit" else 4 * (values - 0.5)
    if setting.target == "binary":
        point["x"] = point["x"].round()
    point = {slot: value.to(setting.dtype) for slot, value in point.items()}
    if setting.target == "classes":
        point["x"] = torch.randint(CLASSES, datum, generator=generator)
    return point


def one_hot(setting: Setting, point: Point) -> Tensor:
    """x with the shape of the decoder's output."""
    if setting.class_axis is None:
        return point["x"].reshape(point["output"].shape)
    return F.one_hot(point["x"], CLASSES).movedim(-1, setting.class_axis).to(setting.dtype)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leaves the caller's generators, threads, grad mode and warnings as they were."""
    states = random.getstate(), np.random.get_state()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the probes are small: to wake a second thread takes longer than they do
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            random.setstate(states[0])
            np.random.set_state(states[1])


def seed_everything(seed: int) -> None:
    """Gives a loss that draws its own noise the same noise again."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would queue a call for CUDA at every probe
    np.random.seed(seed)
    random.seed(seed)


def tensors(returned: object) -> dict[Any, Tensor]:
    """The tensors in what a loss returned, by index, key or attribute; the outermost level that has any."""
    if isinstance(returned, Tensor):
        return {"": returned}
    if isinstance(returned, Mapping):
        items = list(returned.items())
    elif isinstance(returned, (tuple, list)):
        items = list(enumerate(returned))
    else:
        items = list(getattr(returned, "__dict__", {}).items())
    found = {key: value for key, value in items if isinstance(value, Tensor) and value.is_floating_point()}
    for _, inner in () if found else items:
        found = found or (tensors(inner) if isinstance(inner, (Mapping, tuple, list)) else {})
    return found


@dataclass
class Loss:
    """Somebody's loss: `positional` and `named` say which slot, or which plain value, each argument is given.

    Args:
        output: an index, a key or a function of what is returned; None finds the total by itself.
        numeric: the slots to differentiate by finite differences, one element at a time.
        chosen: the keys of the parts that are added up.
    """

    function: Callable[..., Any]
    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    output: Any = None
    numeric: tuple[str, ...] = ()
    chosen: tuple[Any, ...] | None = None

    @property
    def slots(self) -> list[str]:
        given = [*self.positional, *self.named.values()]
        return [slot for slot in SLOTS if any(isinstance(g, Slot) and g.name == slot for g in given)]

    def parts(self, point: Point, seed: int = 0) -> dict[Any, Tensor]:
        def filled(value: object) -> object:
            # A clone, so that a loss which works in place spoils neither the probe nor a leaf.
            return point[value.name].clone() if isinstance(value, Slot) else value

        seed_everything(seed)
        arguments = [filled(value) for value in self.positional]
        returned = self.function(*arguments, **{name: filled(value) for name, value in self.named.items()})
        if callable(self.output):
            returned = self.output(returned)
        elif self.output is not None:
            returned = _selected(returned, self.output)
        found = tensors(returned)
        if not found:
            raise NoTensor(
                f"the loss returns no tensor but {type(returned).__name__}: return the loss, not its .item()"
            )
        return found

    def total(self, point: Point, seed: int = 0) -> Tensor:
        """The loss as one number: values per datum are added up, and so are parts when there is no total."""
        parts = self.parts(point, seed)
        return sum(parts[key] for key in self.chosen or list(parts)).sum()

    def gradients(self, point: Point, seed: int = 0) -> Point:
        """d total / d slot, zero where the loss does not look."""
        found = self._autograd(point, seed)
        return found | {slot: self._differences(point, slot, seed) for slot in self.numeric}

    def _autograd(self, point: Point, seed: int) -> Point:
        leaves = {slot: point[slot].detach().clone().requires_grad_() for slot in self.slots if slot != "x"}
        total = self.total(point | leaves, seed)
        if not total.requires_grad:
            return {slot: torch.zeros_like(leaf) for slot, leaf in leaves.items()}
        found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        pairs = zip(leaves.items(), found, strict=True)
        return {slot: torch.zeros_like(leaf) if g is None else g.detach() for (slot, leaf), g in pairs}

    def _differences(self, point: Point, slot: str, seed: int) -> Tensor:
        basis = torch.eye(point[slot].numel(), dtype=point[slot].dtype)
        found = [self.slope(point, slot, e.reshape(point[slot].shape), seed) for e in basis]
        return torch.stack(found).reshape(point[slot].shape)

    def slope(self, point: Point, slot: str, direction: Tensor, seed: int = 0) -> Tensor:
        """The directional derivative by central differences."""
        step = 1e-5 if point[slot].dtype == torch.float64 else 1e-2
        with torch.no_grad():
            up, down = (
                self.total(point | {slot: point[slot] + sign * step * direction}, seed).double() for sign in (1, -1)
            )
        return (up - down) / (2 * step)


@dataclass(frozen=True)
class Slot:
    """An argument that the probe fills."""

    name: str


def _selected(returned: object, output: object) -> object:
    try:
        return returned[output]  # type: ignore[index]
    except (KeyError, IndexError, TypeError):
        if isinstance(output, str) and hasattr(returned, output):
            return getattr(returned, output)
    kept = ", ".join(map(repr, tensors(returned))) or type(returned).__name__
    raise NoTensor(f"output = {output!r}, but the loss returns {kept}")
