"""Programs as algebra: what a function of tensors computes, traced to ATen operations and read over SymPy.

Every tensor becomes an array of expressions, every random draw an array of fresh symbols. An operation that is not in
`OPERATIONS` is not guessed at: `UnknownOperation` names it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy as sp
from torch.fx import GraphModule, Node

Array = np.ndarray
HALF_LOG_2PI = sp.log(2 * sp.pi) / 2
# Standard normal draws, and their shape from the first argument.
DRAWS: dict[str, Callable[[Any], Sequence[int]]] = {
    "normal_": np.shape,
    "randn_like": np.shape,
    "randn": tuple,
}
# Numbers that PyTorch has computed before it is traced, and what they stand for.
KNOWN = {
    math.log(math.sqrt(2 * math.pi)): HALF_LOG_2PI,
    math.log(2 * math.pi): 2 * HALF_LOG_2PI,
    1 + math.log(2 * math.pi): 1 + 2 * HALF_LOG_2PI,
}


class UnknownOperation(Exception):
    """The program uses an operation whose meaning is not written down here."""


def symbols(name: str, *shape: int) -> Array:
    """An array of real symbols."""
    count = int(np.prod(shape))
    names = [name] if count == 1 else [f"{name}{i + 1}" for i in range(count)]
    return np.array([sp.Symbol(n, real=True) for n in names], object).reshape(shape)


def exact(value: Any) -> Any:
    """A number as the exact one that it stands for."""
    if isinstance(value, bool) or not isinstance(value, float):
        return value
    known = next((exactly for number, exactly in KNOWN.items() if abs(abs(value) - number) < 1e-12), None)
    if known is not None:
        return known if value > 0 else -known
    return sp.nsimplify(value, rational=True)


def read(graph: GraphModule, inputs: Sequence[Array], noise: str = "e") -> list[Array]:
    """Interprets a graph with an array of expressions for every input, and returns its outputs.

    Random draws become the symbols e1, e2, ..., in the order in which they are drawn.

    Raises:
        UnknownOperation: the graph has an operation that `OPERATIONS` lacks.
    """
    values: dict[Node, Any] = {}
    waiting, drawn = iter(inputs), 0

    def look(argument: Any) -> Any:
        if isinstance(argument, Node):
            return values[argument]
        if isinstance(argument, list | tuple):
            return [look(part) for part in argument]
        return exact(argument)

    for node in graph.graph.nodes:
        if node.op == "placeholder":
            values[node] = next(waiting)
        elif node.op == "get_attr":
            values[node] = _each(lambda v: exact(float(v)))(getattr(graph, node.target).numpy())
        elif node.op == "output":
            outputs = look(node.args[0])
            return outputs if isinstance(outputs, list) else [outputs]
        else:
            name = node.target._schema.name.split("::")[1] if hasattr(node.target, "_schema") else node.target.__name__
            arguments = [look(argument) for argument in node.args]
            arguments = _scaled(name, arguments, node.kwargs, look)
            if name in DRAWS:
                shape = DRAWS[name](arguments[0])
                count = int(np.prod(shape))
                standard = np.array([_noise(noise, drawn + i) for i in range(count)], object).reshape(shape)
                given: list[Any] = [*arguments[1:3], *[0, 1][len(arguments) - 1 :]]
                mean, deviation = given
                values[node] = mean + deviation * standard
                drawn += count
            elif name in OPERATIONS:
                values[node] = OPERATIONS[name](*arguments)
            else:
                raise UnknownOperation(f"the program uses aten::{name}, whose meaning is not written down")
    raise UnknownOperation("the program returns nothing")


# Keywords that say where and how a tensor is kept, not what it is.
_STORAGE = {"dtype", "layout", "device", "pin_memory", "memory_format", "generator", "implicit"}


def _scaled(name: str, arguments: list[Any], keywords: dict[str, Any], look: Callable[[Any], Any]) -> list[Any]:
    """The arguments with what the keywords mean; one whose meaning is not written down is not passed over."""
    dtype = keywords.get("dtype")
    if name == "_to_copy" and dtype is not None and not dtype.is_floating_point:
        raise UnknownOperation(f"the program rounds to {dtype}, which no algebra here does")
    for keyword, value in keywords.items():
        if keyword == "alpha" and name in ("add", "add_", "sub", "rsub"):
            first, second = arguments
            arguments = [first, second * look(value)] if name != "rsub" else [first * look(value), second]
        elif keyword not in _STORAGE:
            raise UnknownOperation(f"the program uses aten::{name} with {keyword}, whose meaning is not written down")
    return arguments


def _noise(name: str, index: int) -> sp.Symbol:
    return sp.Symbol(f"{name}{index + 1}", real=True)


def _each(function: Callable[..., Any]) -> Callable[..., Array]:
    return np.vectorize(function, otypes=[object])


def _sum(a: Array, axes: Sequence[int] | None = None, keep: bool = False) -> Array:
    return np.sum(a, axis=tuple(axes) if axes else None, keepdims=keep)


def _mean(a: Array, total: Array) -> Array:
    return total * sp.Rational(np.size(total), np.size(a))


def _expand(a: Array, shape: Sequence[int], *_: Any) -> Array:
    own = (1,) * (len(shape) - np.ndim(a)) + np.shape(a)
    return np.broadcast_to(a, [old if new == -1 else new for new, old in zip(shape, own, strict=True)])


def _reduced(terms: Array, reduction: int) -> Any:
    """PyTorch's codes: 0 none, 1 mean, 2 sum."""
    return (terms, terms.sum() / terms.size, terms.sum())[reduction]


def _from_logit(logit: sp.Expr, x: sp.Expr, positive: sp.Expr) -> sp.Expr:
    """-positive x log sigmoid(l) - (1 - x) log(1 - sigmoid(l))."""
    return (1 + (positive - 1) * x) * sp.log(1 + sp.exp(logit)) - positive * x * logit


def _full(value: Any) -> Callable[..., Array]:
    return lambda shape, *_: np.full(shape, value, object)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "add_": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "rsub": lambda a, b: b - a,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "pow": lambda a, b: a**b,
    "reciprocal": lambda a: 1 / a,
    "mm": lambda a, b: a @ b,
    "exp": lambda a: _each(sp.exp)(a),
    "log": lambda a: _each(sp.log)(a),
    "sqrt": lambda a: _each(sp.sqrt)(a),
    "sigmoid": lambda a: _each(lambda v: 1 / (1 + sp.exp(-v)))(a),
    "softplus": lambda a: _each(lambda v: sp.log(1 + sp.exp(v)))(a),
    "sum": _sum,
    "mean": lambda a, axes=None, keep=False: _mean(a, _sum(a, axes, keep)),
    "t": lambda a: np.transpose(a),
    "transpose": lambda a, i, j: np.swapaxes(a, i, j),
    "permute": lambda a, axes: np.transpose(a, axes),
    "view": lambda a, shape: np.reshape(a, shape),
    "_unsafe_view": lambda a, shape: np.reshape(a, shape),
    "expand": _expand,
    "unsqueeze": lambda a, axis: np.expand_dims(a, axis if axis >= 0 else axis),
    "squeeze": lambda a, axis: np.squeeze(a, axis),
    "select": lambda a, axis, index: np.take(a, index, axis),
    "slice": lambda a, axis=0, start=0, stop=None, step=1: np.take(
        a, range(np.shape(a)[axis])[slice(start, None if stop is None or stop > 2**60 else stop, step)], axis
    ),
    "zeros": _full(sp.Integer(0)),
    "ones": _full(sp.Integer(1)),
    "zeros_like": lambda a: np.full(np.shape(a), sp.Integer(0), object),
    "ones_like": lambda a: np.full(np.shape(a), sp.Integer(1), object),
    "empty": _full(sp.Integer(0)),
    "empty_like": lambda a: np.full(np.shape(a), sp.Integer(0), object),
    "getitem": lambda values, index: values[index],
    "full": lambda shape, value: np.full(shape, value, object),
    "full_like": lambda a, value: np.full(np.shape(a), value, object),
    "scalar_tensor": lambda value: np.array(value, object),
    "detach": lambda a: a,
    "clone": lambda a: a,
    "alias": lambda a: a,
    "lift_fresh_copy": lambda a: a,
    "unbind": lambda a, axis=0: [np.take(a, i, axis) for i in range(np.shape(a)[axis])],
    "stack": lambda parts, axis=0: np.stack(parts, axis),
    "cat": lambda parts, axis=0: np.concatenate(parts, axis),
    "_to_copy": lambda a: a,
    "binary_cross_entropy_with_logits": lambda a, x, w=None, p=None, r=1: _reduced(
        _each(_from_logit)(a, x, 1 if p is None else p) * (1 if w is None else w), r
    ),
    "binary_cross_entropy": lambda y, x, w=None, r=1: _reduced(
        _each(lambda v, t: -t * sp.log(v) - (1 - t) * sp.log(1 - v))(y, x) * (1 if w is None else w), r
    ),
}
