"""What a tensor was computed from, and how: found by following the operations, not by trying values."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pyro
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Jump(NamedTuple):
    """A latent that was compared, rounded, cast to whole numbers or read back, and the line that did it."""

    name: str
    how: str


Names = frozenset[str]
Marks = frozenset[str | Jump]
NOTHING: Names = frozenset()
# What turns a value into a Python number or a decision: whatever is done afterwards may depend on it.
_READBACKS = frozenset(
    {"item", "__bool__", "__float__", "__int__", "__index__", "tolist", "numpy", "__array__", "equal", "allclose"}
)


class Dependence(TorchFunctionMode):
    """While entered, every result of a PyTorch function inherits the names that its arguments carry.

    A dependence that a weight of 0 hides is seen, one through integers, indices, comparisons and in-place writing too.
    A value that is read back (`if z > 0`) is from then on taken to matter for everything. Tensors that share memory
    share their names; so more may be said to depend than does, and never less. What comes of a latent through an
    operation that jumps, as all do that give truth values or whole numbers, carries a `Jump` too, where it is not
    PyTorch's or Pyro's own doing: they look whether a value is in its support.
    """

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[int, Marks] = {}
        self._alive: list[Tensor] = []  # memory that is freed could be given to a tensor that depends on nothing
        self._everywhere: Marks = NOTHING

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        names = self._marks((args, kwargs))
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if names and name not in _LOOKS:
            steps = name.rstrip("_") in _STEPS or name in _STEPS
            whole = [tensor for tensor in tensors(result) if not (tensor.is_floating_point() or tensor.is_complex())]
            if (steps or whole) and (place := _asking(sys._getframe(1))):
                jumps = {Jump(one, f"{name.strip('_')} in {place}") for one in names if isinstance(one, str)}
                names |= jumps if steps else NOTHING
                self.mark(whole, names | jumps)
            if name in _READBACKS:
                self._everywhere |= names
            self.mark(result, names)
            if _writes(name):
                self.mark(args[:1], names)
            self.mark(kwargs.get("out"), names)
        return result

    def mark(self, value: Any, names: Marks) -> None:  # noqa: ANN401
        """Gives names to all tensors in a nest of lists and dictionaries."""
        for tensor in tensors(value):
            place = _place(tensor)
            if place is None:
                self._everywhere |= names
            elif place:
                self._alive.append(tensor)
                self._names[place] = self._names.get(place, NOTHING) | names

    def of(self, value: Any) -> Names:  # noqa: ANN401
        """The names that the tensors in it carry."""
        return frozenset(one for one in self._marks(value) if isinstance(one, str))

    def jumps(self, value: Any) -> frozenset[Jump]:  # noqa: ANN401
        """Where what they were computed from jumped on the way."""
        return frozenset(one for one in self._marks(value) if isinstance(one, Jump))

    def _marks(self, value: Any) -> Marks:  # noqa: ANN401
        found = self._everywhere
        for tensor in tensors(value):
            found |= self._names.get(_place(tensor) or 0, NOTHING)
        return found

    def forget(self, tensor: Tensor) -> None:
        """Takes the names of a tensor away, and of all that shares its memory."""
        self._names.pop(_place(tensor) or 0, None)


# What looks whether a value is one at all: it decides nothing in a run that goes on.
_LOOKS = frozenset({"isnan", "isinf", "isfinite", "is_floating_point", "is_complex"})
# What jumps though its result is floating-point, or a number of Python's.
_STEPS = _READBACKS | frozenset(
    {"round", "floor", "ceil", "trunc", "fix", "frac", "sign", "sgn", "heaviside", "floor_divide", "fmod", "remainder"}
    | {"hardshrink", "gumbel_softmax", "bernoulli", "poisson", "__floordiv__", "__rfloordiv__", "__mod__", "__rmod__"}
)


_TORCH, _PYRO = (str(Path(module.__file__ or "").parent) for module in (torch, pyro))


def _asking(frame: FrameType | None) -> str:
    """The line of the user's that calls a function of PyTorch's; empty where a distribution's code or Pyro's does."""
    while frame is not None and frame.f_code.co_filename.startswith(_TORCH):
        if frame.f_code.co_filename.startswith(f"{_TORCH}/distributions"):
            return ""
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith(_PYRO):
        return ""
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def tensors(value: Any) -> Iterator[Tensor]:  # noqa: ANN401
    """All tensors in a nest of lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from tensors(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors(part)


def _place(tensor: Tensor) -> int | None:
    """Where a tensor's memory is, 0 where it has none; None where that is not to be known (inside `vmap`)."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return None


def _writes(name: str) -> bool:
    """Whether a function of that name writes into its first argument."""
    if name.startswith("__"):
        return name in ("__setitem__", "__set__") or (
            name.startswith("__i") and name not in ("__invert__", "__index__")
        )
    return name.endswith("_")
