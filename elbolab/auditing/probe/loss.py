"""Calls somebody's loss: what it returns, and the gradients of that. Never reads its source."""

import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elbolab.auditing.probe.points import SLOTS, Probe


class NoTensor(ValueError):
    """The loss returned nothing that can be differentiated or added up."""


class Raised(RuntimeError):
    """The loss raised; its error is the cause."""


@dataclass(frozen=True)
class Slot:
    """An argument that the probe fills."""

    name: str


@contextmanager
def callers_state_kept() -> Iterator[None]:
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

    def parts(self, point: Probe, seed: int = 0) -> dict[Any, Tensor]:
        def filled(value: object) -> object:
            # A clone, so that a loss which works in place spoils neither the probe nor a leaf.
            return point[value.name].clone() if isinstance(value, Slot) else value

        seed_everything(seed)
        arguments = [filled(value) for value in self.positional]
        try:
            returned = self.function(*arguments, **{name: filled(value) for name, value in self.named.items()})
        except Exception as error:
            raise Raised(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
        if callable(self.output):
            returned = self.output(returned)
        elif self.output is not None:
            returned = _selected(returned, self.output)
        found = tensors(returned)
        if not found:
            what = type(returned).__name__
            raise NoTensor(f"the loss returns no tensor but {what}: return the loss itself, not its .item()")
        return found

    def total(self, point: Probe, seed: int = 0) -> Tensor:
        """The loss as one number: values per datum are added up, and so are parts when there is no total."""
        parts = self.parts(point, seed)
        return sum(parts[key] for key in self.chosen or list(parts)).sum()

    def gradients(self, point: Probe, seed: int = 0) -> Probe:
        """d total / d slot, zero where the loss does not look."""
        found = self._autograd(point, seed)
        return found | {slot: self._differences(point, slot, seed) for slot in self.numeric}

    def _autograd(self, point: Probe, seed: int) -> Probe:
        leaves = {slot: point[slot].detach().clone().requires_grad_() for slot in self.slots if slot != "x"}
        total = self.total(point | leaves, seed)
        if not total.requires_grad:
            return {slot: torch.zeros_like(leaf) for slot, leaf in leaves.items()}
        found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        pairs = zip(leaves.items(), found, strict=True)
        return {slot: torch.zeros_like(leaf) if g is None else g.detach() for (slot, leaf), g in pairs}

    def _differences(self, point: Probe, slot: str, seed: int) -> Tensor:
        basis = torch.eye(point[slot].numel(), dtype=point[slot].dtype)
        found = [self.slope(point, slot, e.reshape(point[slot].shape), seed) for e in basis]
        return torch.stack(found).reshape(point[slot].shape)

    def slope(self, point: Probe, slot: str, direction: Tensor, seed: int = 0, step: float = 1e-5) -> Tensor:
        """The directional derivative by central differences."""
        with torch.no_grad():
            up, down = (
                self.total(point | {slot: point[slot] + sign * step * direction}, seed).double() for sign in (1, -1)
            )
        return (up - down) / (2 * step)


def _selected(returned: object, output: object) -> object:
    try:
        return returned[output]  # type: ignore[index]
    except (KeyError, IndexError, TypeError):
        if isinstance(output, str) and hasattr(returned, output):
            return getattr(returned, output)
    kept = ", ".join(map(repr, tensors(returned))) or type(returned).__name__
    raise NoTensor(f"output = {output!r}, but the loss returns {kept}")
