"""Calls somebody's loss: what it returns, and the gradients of that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from elbolab.auditing.probe.guard import Left, guarded, seed_everything
from elbolab.auditing.probe.points import SLOTS, Probe
from elbolab.auditing.probe.serving import Serving, Unserved
from elbolab.auditing.probe.standins import Standin
from elbolab.auditing.probe.templates import filled, slots_in

TOTALS = ("loss", "total_loss", "total", "objective")


class NoTensor(ValueError):
    """The loss returned nothing that can be differentiated or added up."""


class Raised(RuntimeError):
    """The loss raised; its error is the cause."""


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


@dataclass(frozen=True)
class Loss:
    """Somebody's loss: `positional` and `named` say which slot, or which plain value, each argument is given.

    Args:
        output: an index, a key or a function of what is returned; None finds the total by itself.
        numeric: the slots to differentiate by finite differences, one element at a time.
        chosen: the keys of the parts that are added up.
        served: the slots that it asks for by itself, of an object, a dictionary or a network.
        values: what stands-in give for names, as the caller says.
    """

    function: Callable[..., Any]
    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    output: Any = None
    numeric: tuple[str, ...] = ()
    chosen: tuple[Any, ...] | None = None
    served: frozenset[str] = frozenset()
    values: Mapping[str, Any] = field(default_factory=dict)
    _known: dict[Any, Probe] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def slots(self) -> list[str]:
        there = slots_in([*self.positional, *self.named.values()]) | self.served
        return [slot for slot in SLOTS if slot in there]

    def parts(self, point: Probe, seed: int = 0, serving: Serving | None = None) -> dict[Any, Tensor]:
        """What the loss returns, with every argument filled; `serving` remembers what it asked for."""
        serving = serving or Serving(point, self.values)
        seed_everything(seed)
        try:
            with guarded(), serving:
                arguments = [filled(value, serving) for value in self.positional]
                keywords = {name: filled(value, serving) for name, value in self.named.items()}
                returned = self.function(*arguments, **keywords)
        except (Left, Unserved) as error:
            raise Raised(str(error)) from error
        except Exception as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise Raised("; ".join(filter(None, (said, serving.open)))) from error
        if callable(self.output):
            returned = self.output(returned)
        elif self.output is not None:
            returned = _selected(returned, self.output)
        if isinstance(returned, Standin):
            raise Raised(f"what the loss returns depends on {returned.said}, which is not understood")
        found = tensors(returned)
        if unknown := _unknown_total(returned):
            raise Raised(f"the loss depends on {unknown.said}, which is not understood")
        if not found:
            what = type(returned).__name__
            raise NoTensor(f"the loss returns no tensor but {what}: return the loss itself, not its .item()")
        return found

    def total(self, point: Probe, seed: int = 0) -> Tensor:
        """The loss as one number: values per datum are added up, and so are parts when there is no total."""
        parts = self.parts(point, seed)
        return torch.stack([parts[key].sum() for key in self.chosen or list(parts)]).sum()

    def gradients(self, point: Probe, seed: int = 0) -> Probe:
        """d total / d slot, zero where the loss does not look."""
        key = (seed, *((slot, t.shape, t.numpy().tobytes()) for slot, t in point.items() if slot in self.slots))
        if key not in self._known:
            found = self._autograd(point, seed)
            self._known[key] = found | {slot: self._differences(point, slot, seed) for slot in self.numeric}
        return dict(self._known[key])

    def _autograd(self, point: Probe, seed: int) -> Probe:
        leaves = {
            slot: point[slot].detach().clone().requires_grad_()
            for slot in self.slots
            if slot != "x" and point[slot].is_floating_point()
        }
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


def _unknown_total(returned: Any) -> Standin | None:
    """A total that stands in is no total, and what else is returned is none either."""
    if isinstance(returned, Mapping):
        parts = [returned[key] for key in TOTALS if key in returned]
    else:
        parts = list(returned[:1]) if isinstance(returned, (tuple, list)) else []
    return next((part for part in parts if isinstance(part, Standin)), None)


def _selected(returned: Any, output: object) -> object:
    try:
        return returned[output]
    except (KeyError, IndexError, TypeError):
        if isinstance(output, str) and hasattr(returned, output):
            return getattr(returned, output)
    kept = ", ".join(map(repr, tensors(returned))) or type(returned).__name__
    raise NoTensor(f"output = {output!r}, but the loss returns {kept}")
