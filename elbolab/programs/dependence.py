"""What a tensor was computed from, and how: found by following the operations, not by trying values."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from elbolab.programs.marks import NOTHING, Cut, Jump, Mark, Marks, Names, Noise, Parameter
from elbolab.programs.places import Draws, asking, calling, nearest, switching

# What turns a value into a Python number or a decision: whatever is done afterwards may depend on it.
NUMBERS = frozenset({"item", "__float__", "tolist", "numpy", "__array__"})
_READBACKS = NUMBERS | {"__bool__", "__int__", "__index__", "equal", "allclose"}
# What looks whether a value is one at all: it decides nothing in a run that goes on.
_LOOKS = frozenset({"isnan", "isinf", "isfinite", "is_floating_point", "is_complex"})
# What jumps though its result is floating-point, or a number of Python's.
_STEPS = _READBACKS | frozenset(
    {"round", "floor", "ceil", "trunc", "fix", "frac", "sign", "sgn", "heaviside", "floor_divide", "fmod", "remainder"}
    | {"hardshrink", "gumbel_softmax", "bernoulli", "poisson", "__floordiv__", "__rfloordiv__", "__mod__", "__rmod__"}
)
# A copy that leaves its source's gradient behind.
COPIES = frozenset({"tensor", "new_tensor", "from_numpy"})
_DROPOUT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu", "rrelu", "rrelu_", "fractional_max_pool2d"})
_DROPOUT |= {"fractional_max_pool3d", "scaled_dot_product_attention", "multi_head_attention_forward"}


class Dependence(TorchFunctionMode):
    """While entered, every result of a PyTorch function inherits the names that its arguments carry.

    A dependence that a weight of 0 hides is seen, one through integers, indices, comparisons and in-place writing too.
    A value that is read back (`if z > 0`) is from then on taken to matter for everything. Tensors that share memory
    share their names; so more may be said to depend than does, and never less. What comes of a latent through an
    operation that jumps, as all do that give truth values or whole numbers, carries a `Jump` too, where it is not
    PyTorch's or Pyro's own doing: they look whether a value is in its support. So does what a user's line takes out of
    autograd's graph, and of a parameter it carries a `Cut`. What is drawn carries `Noise`, until a sample statement
    owns it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[int, Marks] = {}
        self._alive: list[Tensor] = []  # memory that is freed could be given to a tensor that depends on nothing
        self._everywhere: Marks = NOTHING
        self._draws, self._off = Draws(), ""

    def __enter__(self) -> "Dependence":
        self._draws.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *reason: Any) -> None:  # noqa: ANN401
        super().__exit__(*reason)
        self._draws.__exit__(*reason)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        name, marks, drawn = name_of(func), self._marks((args, kwargs)), self._draws.count
        attached = _attached(name, args, kwargs)
        if attached and name in ("numpy", "__array__"):  # of a draw that is a constant in a score function
            args = args[0].detach(), *args[1:]
        result = func(*args, **kwargs)
        frame = sys._getframe(1)
        if name == "_set_grad_enabled":
            self._off = "" if args[0] else switching(frame)
        if self._draws.count > drawn or torch.Tag.nondeterministic_seeded in getattr(func, "tags", ()):
            how = f"{name.strip('_')} in {nearest(frame)}"
            marks |= {Noise(how, "dropout" in name or name in _DROPOUT)}
        if marks and name not in _LOOKS:
            if attached and not isinstance(func, torch._ops.OpOverload):
                marks |= self._cut(name, marks, result, calling(frame) if torch.is_grad_enabled() else self._off)
            self._inherit(name, marks, result, asking(frame))
            if _writes(name):
                self.mark(args[:1], marks)
            self.mark(kwargs.get("out"), marks)
        return result

    def _inherit(self, name: str, marks: Marks, result: Any, place: str) -> None:  # noqa: ANN401
        """Gives a result its marks, and everything what was read back."""
        steps = name.rstrip("_") in _STEPS or name in _STEPS
        whole = [tensor for tensor in tensors(result) if not _smooth(tensor)]
        if (steps or whole) and place:
            moves = any(isinstance(one, Parameter | Cut) for one in marks)
            jumps = {Jump(one, f"{name.strip('_')} in {place}", moves) for one in marks if isinstance(one, str)}
            marks |= jumps if steps else NOTHING
            self.mark(whole, marks | jumps)
        if name in _READBACKS:
            if name in NUMBERS:
                marks |= {replace(one, number=True) for one in marks if isinstance(one, Cut)}
            self._everywhere |= {one for one in marks if isinstance(one, str | Jump) or (place and _lasts(one))}
        self.mark(result, marks)

    def _cut(self, name: str, marks: Marks, result: Any, place: str) -> set[Mark]:  # noqa: ANN401
        """Of latents and parameters that autograd's graph has lost in this call by a line of the user's."""
        number = name in NUMBERS or name in COPIES
        lost = any(_smooth(tensor) and not tensor.requires_grad for tensor in tensors(result))
        if not place or not (lost or name in NUMBERS):
            return set()
        how = f"{name.strip('_')} in {place}"
        found: set[Mark] = {Cut(one.ident, how, number) for one in marks if isinstance(one, Parameter)}
        return found | {Jump(one, how) for one in marks if isinstance(one, str)}

    def mark(self, value: Any, marks: Marks) -> None:  # noqa: ANN401
        """Gives marks to all tensors in a nest of lists and dictionaries."""
        for tensor in tensors(value):
            place = _place(tensor)
            if place is None:
                self._everywhere |= marks
            elif place:
                self._alive.append(tensor)
                self._names[place] = self._names.get(place, NOTHING) | marks

    def of(self, value: Any) -> Names:  # noqa: ANN401
        """The names that the tensors in it carry."""
        return frozenset(one for one in self._marks(value) if isinstance(one, str))

    def carried(self, value: Any, kind: type) -> set[Any]:  # noqa: ANN401
        """The marks of a kind that they carry."""
        return {one for one in self._marks(value) if isinstance(one, kind)}

    def _marks(self, value: Any) -> Marks:  # noqa: ANN401
        found = self._everywhere
        for tensor in tensors(value):
            place = _place(tensor) or 0
            if tensor.requires_grad and tensor.is_leaf and place:
                self._alive.append(tensor)
                self._names[place] = frozenset(one for one in self._names.get(place, ()) if not isinstance(one, Noise))
                found |= {Parameter(id(tensor))}  # what it started from is no draw of the program's
            found |= self._names.get(place, NOTHING)
        return found

    def forget(self, tensor: Tensor) -> None:
        """Takes the marks of a tensor away, and of all that shares its memory."""
        self._names.pop(_place(tensor) or 0, None)


def _lasts(mark: Mark) -> bool:
    """Whether what was read back by the user is marked for all that is done with it."""
    return isinstance(mark, Noise) or (isinstance(mark, Cut) and mark.number)


def name_of(func: Any) -> str:  # noqa: ANN401
    """A function's name, an attribute's where it asks for one, and without the kind of an operator's arguments."""
    name = str(getattr(func, "__name__", ""))
    return getattr(func.__self__, "__name__", name) if name == "__get__" else name.split(".")[0]


def _attached(name: str, args: Any, kwargs: Any) -> bool:  # noqa: ANN401
    """Whether what goes into a result has a gradient: of a tensor that says the shape or type alone it is no part."""
    if name.endswith("_like") or (name.startswith("new_") and name != "new_tensor"):
        return False
    used = args[:1] if name == "to" or name.endswith("_as") else (args, kwargs)
    return any(tensor.requires_grad for tensor in tensors(used))


def _smooth(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


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
    if is_lazy(tensor):
        return 0
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
