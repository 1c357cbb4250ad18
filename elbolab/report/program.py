"""Functions of tensors as programs that a page can run: operations by name, constants apart."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from elbolab.graph.trace import CannotCapture, core
from elbolab.report.constants import Constants
from elbolab.report.noise import Noise

HERE = Path(__file__).parent
# Keywords that say where and how a tensor is kept, not what it is.
_STORAGE = {"layout", "device", "pin_memory", "memory_format", "generator", "non_blocking"}
_KEYWORDS = {"alpha", "dtype", "upper", "left", "unitriangular", "is_matrix", "approximate"}
# Of these names the page means another overload.
_OTHERS = {"max.default", "max.other", "min.default", "min.other", "normal.float_float", "arange.out"}
_DTYPES = {torch.float64, torch.float32, torch.int64, torch.int32, torch.bool, None}


class NoJavaScript(Exception):
    """A program that a page cannot run; the message says what it lacks."""


@dataclass(frozen=True)
class Reference:
    """A value that an earlier node, or a constant of the page, has."""

    kind: str  # n: node; c: constant
    at: int


@dataclass
class Step:
    """One operation: its name for the page, and itself for Python."""

    name: str
    target: Callable[..., Any]
    positional: list[Any]
    keywords: dict[str, Any]


@dataclass
class Program:
    """Operations one after the other; `run` does in Python what the page does in JavaScript."""

    inputs: list[str]
    steps: list[Step] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)

    def run(self, constants: Sequence[Tensor], *inputs: Tensor, noise: Noise | None = None) -> list[Tensor]:
        """The outputs, in float64; what is drawn comes from `noise` where it is given, else from PyTorch."""
        values: list[Any] = list(inputs)

        def look(argument: Any) -> Any:
            if isinstance(argument, Reference):
                return values[argument.at] if argument.kind == "n" else constants[argument.at]
            return [look(part) for part in argument] if isinstance(argument, list) else argument

        for step in self.steps:
            positional = [look(argument) for argument in step.positional]
            keywords = {name: look(value) for name, value in step.keywords.items()}
            if noise is not None and step.name in draws():
                values.append(noise.drawn(step.name, positional))
            else:
                values.append(step.target(*positional, **keywords))
        return [look(output) for output in self.outputs]

    @property
    def random(self) -> bool:
        """Whether it draws."""
        return any(step.name in draws() for step in self.steps)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        nodes = [
            [step.name, _plain(step.positional)] + ([_plain(step.keywords)] if step.keywords else [])
            for step in self.steps
        ]
        return {"inputs": self.inputs, "nodes": nodes, "outputs": _plain(self.outputs)}


@torch.no_grad()
def program(function: Callable[..., Any], constants: Constants, **examples: Tensor) -> Program:
    """Exports a function of float64 tensors; what it reads beside them goes to `constants`.

    Whatever does not depend on the arguments, and is not drawn, is computed here once.

    Raises:
        NoJavaScript: it does what no trace, or no page, can do; the message names it.
    """
    try:
        graph = core(function, *examples.values())
    except CannotCapture as error:
        raise NoJavaScript(str(error)) from error
    made, known = Program(list(examples)), {}
    places: dict[Node, Reference] = {}
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            places[node] = Reference("n", len(places))
        elif node.op == "get_attr":
            known[node] = _attribute(graph, str(node.target))
        elif node.op == "output":
            found = node.args[0] if isinstance(node.args[0], list | tuple) else [node.args[0]]
            made.outputs = [_argument(part, places, known, constants) for part in found]
        elif not _drawn(node) and all(parent in known for parent in node.all_input_nodes):
            known[node] = _computed(node, known)
        else:
            places[node] = Reference("n", len(made.inputs) + len(made.steps))
            made.steps.append(_step(node, places, known, constants))
    return made


@cache
def _names() -> tuple[frozenset[str], frozenset[str]]:
    """What the page's JavaScript can draw and do: the keys of its own tables."""
    source = (HERE / "js/operations.js").read_text()
    tables = dict(re.findall(r"^export const (\w+) = \{\n(.*?)^\};", source, re.MULTILINE | re.DOTALL))
    draw, do = (frozenset(re.findall(r'^  "(\w+)":', tables[name], re.MULTILINE)) for name in ("DRAWS", "OPERATIONS"))
    return draw, do


def draws() -> frozenset[str]:
    return _names()[0]


def _name(node: Node) -> str:
    target: Any = node.target
    return target._schema.name.split("::")[1] if hasattr(target, "_schema") else target.__name__


def _drawn(node: Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _step(node: Node, places: dict[Node, Reference], known: dict[Node, Any], constants: Constants) -> Step:
    name, overload = _name(node), getattr(node.target, "_overloadname", "")
    positional, keywords = _bound(node)
    target: Any = node.target
    if name in ("index", "index_put") and any(_is_mask(index) for index in positional[1]):
        name, target, positional = _masked(name, positional)
    if name not in _names()[0] | _names()[1] or f"{name}.{overload}" in _OTHERS:
        raise NoJavaScript(f"it uses aten::{name}, which has no JavaScript here")
    for keyword, value in keywords.items():
        if keyword not in _KEYWORDS or (keyword == "dtype" and value not in _DTYPES):
            raise NoJavaScript(f"it uses aten::{name} with {keyword} = {value}, which has no JavaScript here")

    def read(argument: Any) -> Any:
        return _argument(argument, places, known, constants)

    return Step(name, target, read(positional), {key: read(value) for key, value in keywords.items()})


def _is_mask(index: Any) -> bool:
    return isinstance(index, Node) and index.meta["val"].dtype == torch.bool


def _masked(name: str, positional: list[Any]) -> tuple[str, Callable[..., Any], list[Any]]:
    """`a[mask] = number` is where(mask, number, a); what else masks do gives tensors of a size that depends on them."""
    value, indices, put, *more = [*positional, None]
    whole = len(indices) == 1 and indices[0].meta["val"].shape == value.meta["val"].shape
    if name == "index" or not whole or put.meta["val"].numel() != 1 or any(more):
        raise NoJavaScript(f"it uses aten::{name} with a mask, which has no JavaScript here")
    return "where", torch.where, [indices[0], put, value]


def _bound(node: Node) -> tuple[list[Any], dict[str, Any]]:
    """All positional arguments in the schema's order, and the keywords that mean something."""
    if not hasattr(node.target, "_schema"):
        return list(node.args), dict(node.kwargs)
    positional, keywords = list(node.args), {}
    for place, argument in enumerate(node.target._schema.arguments):
        given = node.kwargs.get(argument.name)
        if argument.kwarg_only:
            if given is not None and argument.name not in _STORAGE:
                keywords[argument.name] = given
        elif place >= len(positional):
            positional.append(node.kwargs.get(argument.name, argument.default_value))
    return positional, keywords


def _argument(value: Any, places: dict[Node, Reference], known: dict[Node, Any], constants: Constants) -> Any:
    if isinstance(value, Node):
        return places[value] if value in places else _constant(known[value], constants)
    if isinstance(value, list | tuple):
        return [_argument(part, places, known, constants) for part in value]
    return value


def _constant(value: Any, constants: Constants) -> Any:
    return Reference("c", constants.add(value)) if isinstance(value, Tensor) else value


def _attribute(graph: GraphModule, name: str) -> Tensor:
    found: Any = graph
    for part in name.split("."):
        found = getattr(found, part)
    return found.detach()


def _computed(node: Node, known: dict[Node, Any]) -> Any:
    arguments = torch.fx.node.map_arg((node.args, node.kwargs), lambda parent: known[parent])
    target: Any = node.target
    return target(*arguments[0], **arguments[1])


def _plain(value: Any) -> Any:
    """As the page reads it."""
    if isinstance(value, Reference):
        return {value.kind: value.at}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, float) and not isfinite(value):
        return {"f": str(value)}
    return str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value
