"""What a tensor was computed from: found by following the operations, not by trying values."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

Names = frozenset[str]
NOTHING: Names = frozenset()
# What turns a value into a Python number or a decision: whatever is done afterwards may depend on it.
_READBACKS = frozenset(
    {"item", "__bool__", "__float__", "__int__", "__index__", "tolist", "numpy", "__array__", "equal", "allclose"}
)


class Dependence(TorchFunctionMode):
    """While entered, every result of a PyTorch function inherits the names that its arguments carry.

    A dependence that a weight of 0 hides is seen, one through integers, indices, comparisons and in-place writing too.
    A value that is read back (`if z > 0`) is from then on taken to matter for everything. Tensors that share memory
    share their names; so more may be said to depend than does, and never less.
    """

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[int, Names] = {}
        self._alive: list[Tensor] = []  # memory that is freed could be given to a tensor that depends on nothing
        self._everywhere = NOTHING

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        names = self.of((args, kwargs))
        result = func(*args, **kwargs)
        if names:
            name = getattr(func, "__name__", "")
            if name in _READBACKS:
                self._everywhere |= names
            self.mark(result, names)
            if _writes(name):
                self.mark(args[:1], names)
            self.mark(kwargs.get("out"), names)
        return result

    def mark(self, value: Any, names: Names) -> None:  # noqa: ANN401
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
        found = self._everywhere
        for tensor in tensors(value):
            found |= self._names.get(_place(tensor) or 0, NOTHING)
        return found

    def forget(self, tensor: Tensor) -> None:
        """Takes the names of a tensor away, and of all that shares its memory."""
        self._names.pop(_place(tensor) or 0, None)


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
