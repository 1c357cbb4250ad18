"""Values that are read while programs are traced: whose doing it is, and what the value depends on."""

from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pyro
import torch
from pyro.infer import ELBO
from torch import Tensor
from torch.fx import Graph, Node

from elbolab.graph.torch_internals import node_of

aten = torch.ops.aten


class CannotCapture(Exception):
    """The programs do something that is no fixed sequence of tensor operations; the message says what."""


# Named by their functions' names: what asks Python for a tensor's value.
READS = frozenset({"item", "__bool__", "__float__", "__int__", "__index__", "tolist", "numpy", "equal", "allclose"})
_LIBRARIES = tuple(str(Path(module.__file__ or "").parent) for module in (torch, pyro))

Answer = Callable[[Tensor], Any]
# Pyro's and PyTorch's own reads that decide nothing: who asks, and what is true to them in every run that goes on.
_ANSWERS: dict[tuple[str, str], Answer] = {
    ("pyro/util.py", "warn_if_nan"): lambda value: False,
    ("pyro/util.py", "warn_if_inf"): lambda value: False,
    ("torch/distributions/distribution.py", "__init__"): lambda value: True,
    # Where all probabilities are positive or not, a sum over those that are is the same (`StandIns.masked_select`).
    ("pyro/infer/util.py", "compute_expectation"): lambda value: False,
    # Whether all scales are one, by their values: the eager step before has said so.
    ("pyro/infer/traceenum_elbo.py", "_get_common_scale"): lambda value: 1.0,
}


def answered(frame: FrameType | None) -> tuple[Answer | None, str]:
    """What a library of ours is told that reads a value for its own checks, if it is that; the line that reads it."""
    while frame is not None:
        code = frame.f_code
        place = code.co_filename
        known = _ANSWERS.get(("/".join(Path(place).parts[-3:]), code.co_name)) or _ANSWERS.get(
            ("/".join(Path(place).parts[-2:]), code.co_name)
        )
        if known is not None:
            return known, ""
        inner = place.removeprefix(_LIBRARIES[1] + "/infer/")
        if (inner != place and "/" not in inner) or _returns(frame):
            return _as_python, ""  # an ELBO reads its loss to return it
        if not place.startswith(_LIBRARIES[0]):
            break
        frame = frame.f_back
    return None, line(frame)


def _returns(frame: FrameType) -> bool:
    return frame.f_code.co_name in ("loss", "loss_and_grads") and isinstance(frame.f_locals.get("self"), ELBO)


def line(frame: FrameType | None) -> str:
    """The line of the user's that something happens in; of a library's, where none of theirs is below."""
    inner = frame
    while frame is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        frame = frame.f_back
    if inner is None:
        return "the program"
    place = f"{Path(inner.f_code.co_filename).name}:{inner.f_lineno}"
    if frame is None or frame is inner:
        return place
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} ({place})"


def _as_python(value: Tensor) -> Tensor:
    return value.detach().double() if value.is_floating_point() else value.detach()  # a Python number is a double


class Dependence:
    """What values were read of: each has to be the same again where the graph is to serve."""

    def __init__(self, arguments: range) -> None:
        """
        Args:
            arguments: which of the traced inputs are arguments of the programs.
        """
        self.arguments = arguments
        self.tensors: list[Tensor] = []

    def add(self, tensors: Iterable[Tensor], what: str) -> None:
        """
        Raises:
            CannotCapture: a value depends on a draw or on a parameter, and so changes from step to step.
        """
        for tensor in tensors:
            node = node_of(tensor)
            if node is not None and self.add_node(node, what):
                self.tensors.append(tensor)

    def add_node(self, node: Node, what: str) -> bool:
        """Whether the value is not a constant; the errors are those of `add`."""
        inputs = {place: i for i, place in enumerate(n for n in node.graph.nodes if n.op == "placeholder")}
        seen, waiting, varies = {node}, [node], False
        while waiting:
            current = waiting.pop()
            varies = varies or current.op in ("placeholder", "get_attr")
            if current.op == "placeholder" and inputs[current] not in self.arguments:
                raise CannotCapture(f"{what}, which depends on what is trained")
            if torch.Tag.nondeterministic_seeded in getattr(current.target, "tags", ()):
                raise CannotCapture(f"{what}, which depends on a draw")
            new = [n for n in current.all_input_nodes if n not in seen]
            seen.update(new)
            waiting += new
        return varies


def shaped_by_values(graph: Graph) -> Iterable[tuple[Node, str]]:
    """What decides the shape of a result by its values, such as a mask that picks elements, and the operation."""
    for node in graph.nodes:
        tags = getattr(node.target, "tags", ())
        name = getattr(node.target, "__name__", "")
        if node.target is aten.index.Tensor:
            for index in node.args[1]:
                if index is not None and index.meta["val"].dtype in (torch.bool, torch.uint8):
                    yield index, "x[mask] has as many elements as the mask picks"
        elif node.target is aten._pack_padded_sequence.default:
            yield node.args[1], "pack_padded_sequence reads lengths"
        elif torch.Tag.dynamic_output_shape in tags and node.target is not aten.index.Tensor:
            inputs = node.all_input_nodes
            chosen = inputs[1:] if node.target is aten.masked_select.default else inputs
            for each in chosen:
                yield each, f"the shape of {name.split('.')[0]} depends on values"


def asking(frame: FrameType) -> CodeType:
    """The code outside of PyTorch's that calls it."""
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_LIBRARIES[0]):
        frame = frame.f_back
    return frame.f_code
