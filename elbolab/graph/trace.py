"""Functions of tensors as ATen graphs, with the checks and read-backs of Pyro's left out."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any

import pyro
import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.overrides import TorchFunctionMode

from elbolab.graph.reads import CannotCapture, line
from elbolab.graph.torch_internals import core_operations, make_fx, node_of
from elbolab.validation import unvalidated

aten = torch.ops.aten


class NoReadback(TorchFunctionMode):
    """While tracing: `.item()` stays a tensor, a tensor's truth is False, hooks are not registered.

    Pyro reads its losses back for its own checks, and looks for NaN; a trace has nothing to read. Where a program of
    the user's reads a value, what it does depends on it: `strict` refuses that.
    """

    def __init__(self, *, strict: bool = True) -> None:
        super().__init__()
        self.strict = strict

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = getattr(func, "__name__", "")
        if name == "one_hot":
            return _one_hot(*args, **(kwargs or {}))
        if name not in _READBACKS or (name != "register_hook" and node_of(args[0]) is None):
            return func(*args, **(kwargs or {}))  # a constant's value is a constant
        asking = _asking(sys._getframe(1))
        if self.strict and name != "register_hook" and asking:
            raise CannotCapture(f"{asking} asks for a value: Tensor.{name}")
        return {"item": lambda: args[0].detach(), "__bool__": lambda: False}.get(name, lambda: None)()


def _one_hot(index: Tensor, num_classes: int = -1) -> Tensor:
    """PyTorch's own looks at the values for those that are out of range."""
    if num_classes < 0:
        raise CannotCapture("one_hot without num_classes asks for a value: the largest")
    return (index[..., None] == torch.arange(num_classes, device=index.device)).long()


_READBACKS = frozenset(
    {"item", "__bool__", "__float__", "__int__", "tolist", "numpy", "equal", "allclose", "register_hook"}
)
_LIBRARIES = tuple(str(Path(module.__file__ or "").parent) for module in (torch, pyro))


def _asking(frame: FrameType | None) -> str | None:
    """The line of the user's that reads a value; None where it is PyTorch's or Pyro's own doing."""
    while frame is not None and frame.f_code.co_filename.startswith(_LIBRARIES[0]):
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith(_LIBRARIES):
        return None
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def trace(function: Callable[..., Any], *examples: Any, strict: bool = True) -> GraphModule:
    """The ATen graph of a function of tensors; nothing in it is written to twice.

    Raises:
        CannotCapture: the function looks at values, or does what PyTorch's tracer does not know.
    """

    with said(), unvalidated():  # a trace has no values to validate
        return pure(make_fx(_quiet(function, strict=strict))(*examples), *examples)


def pure(graph: GraphModule, *examples: Any) -> GraphModule:
    """The same graph, writing into its inputs at its end at most; the examples are written into."""
    graph = _tidied(graph)
    if any(map(_writes, graph.graph.nodes)):
        graph = _tidied(make_fx(torch.func.functionalize(graph, remove="mutations"))(*examples))
    return graph


def operations(function: Callable[..., Any], *examples: Any) -> GraphModule:
    """The operations of a function of tensors as they are executed, nothing rewritten: what algebra is read from.

    Raises:
        CannotCapture: the function does what PyTorch's tracer does not know.
    """
    with said(), unvalidated():  # a trace has no values to validate
        graph = make_fx(_quiet(function, strict=False))(*examples)
    graph.graph.eliminate_dead_code()
    return graph


def core(function: Callable[..., Any], *examples: Any) -> GraphModule:
    """The graph of a function of tensors in PyTorch's core operations alone: for those who interpret it.

    Raises:
        CannotCapture: the function looks at values, or does what PyTorch's tracer does not know.
    """
    with said(), unvalidated():  # a trace has no values to validate
        graph = make_fx(trace(function, *examples), decomposition_table=core_operations())(*examples)
    graph.graph.eliminate_dead_code()
    return graph


def _quiet(function: Callable[..., Any], *, strict: bool) -> Callable[..., Any]:
    def quiet(*arguments: Any) -> Any:
        with NoReadback(strict=strict):
            return function(*arguments)

    return quiet


@contextmanager
def said() -> Iterator[None]:
    """Whatever a program does that is not tensor operations is said in its own words."""
    try:
        yield
    except CannotCapture:
        raise
    except Exception as error:
        where, *_ = (line(frame) for frame, _ in reversed(list(walk_tb(error.__traceback__))))
        if "_local_scalar_dense" in str(error):
            raise CannotCapture(f"{where} asks for a value, inside of an operation") from error
        reason = (str(error).strip().splitlines() or [""])[0]
        raise CannotCapture(f"{where}: {type(error).__name__}: {reason}") from error


def _writes(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def _tidied(graph: GraphModule) -> GraphModule:
    """Without dead code, and without operations that write, where a plain one does the same.

    They cannot be vectorised over draws. `empty().normal_(m, s)` becomes m + s `randn`; a filled tensor a full one; a
    copy what is copied.
    """
    for node in list(graph.graph.nodes):
        if node.target not in _IN_PLACE:
            continue
        with graph.graph.inserting_before(node):
            result = _IN_PLACE[node.target](graph.graph, *node.args)
        if result is not None:
            result.meta = node.meta | result.meta
            node.replace_all_uses_with(result)
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _drawn(graph: Graph, empty: Node, mean: float = 0.0, deviation: float = 1.0) -> Node | None:
    if empty.target is not aten.empty.memory_format:
        return None
    keywords = {name: value for name, value in empty.kwargs.items() if name != "memory_format"}
    drawn = graph.call_function(aten.randn.default, empty.args, keywords)
    if (mean, deviation) != (0.0, 1.0):
        drawn = graph.call_function(aten.mul.Tensor, (drawn, deviation))
        drawn = graph.call_function(aten.add.Tensor, (drawn, mean))
    return drawn


def _filled(graph: Graph, target: Node, value: float) -> Node:
    return graph.call_function(aten.full_like.default, (target, value))


def _copied(graph: Graph, target: Node, source: Node, blocking: bool = False) -> Node | None:
    into, value = target.meta["val"], source.meta["val"]
    if (into.shape, into.device) != (value.shape, value.device):
        return None
    if into.dtype == value.dtype:
        return source
    return graph.call_function(aten._to_copy.default, (source,), {"dtype": into.dtype})


_IN_PLACE: dict[Any, Callable[..., Node | None]] = {
    aten.normal_.default: _drawn,
    aten.normal_functional.default: _drawn,
    aten.fill.Scalar: _filled,
    aten.copy.default: _copied,
}
