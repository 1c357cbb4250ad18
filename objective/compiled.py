"""A captured graph as machine code: compiled by Inductor, after two changes that it does not make itself."""

import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

aten = torch.ops.aten
# The draws of the eager generators; and no checks of shapes at every step: the graph is of these shapes.
_OPTIONS = {"fallback_random": True, "size_asserts": False, "alignment_asserts": False}
_LARGE = 2**20  # multiplications, below which how a product is called costs more than what it computes

_LIBRARY = torch.library.Library("elbolab", "DEF")
_LIBRARY.define("product(Tensor a, Tensor b) -> Tensor")
_LIBRARY.define("once(Tensor[] scalars) -> Tensor[]")


def _product(a: Tensor, b: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")


def _once(scalars: list[Tensor]) -> list[Tensor]:
    return [scalar.clone() for scalar in scalars]


_LIBRARY.impl("product", _product, "CPU")
_LIBRARY.impl("once", _once, "CompositeExplicitAutograd")
torch.library.register_fake("elbolab::product", lambda a, b: a.new_empty(a.shape[0], b.shape[1]))
torch.library.register_fake("elbolab::once", lambda scalars: [torch.empty_like(scalar) for scalar in scalars])
product = torch.ops.elbolab.product.default
once = torch.ops.elbolab.once.default


def compiled(graph: GraphModule, examples: Sequence[Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """Compiles a graph for inputs of the examples' shapes; the graph is used up.

    Its draws are those that PyTorch's generators give the eager operations, in the same order.

    Args:
        graph: takes and returns tensors; it may write into its inputs.
        examples: what it will be called with, or the like.
    """
    if examples[0].device.type == "cpu":
        _scalars_once(graph)
        if torch.backends.mkldnn.is_available():
            _products_by_onednn(graph)
    graph.recompile()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's, about itself
        return torch._inductor.compile(graph, list(examples), options=_OPTIONS)


def _products_by_onednn(graph: GraphModule) -> None:
    """ATen sends float32 products to MKL, which is up to two times slower than oneDNN on some processors.

    oneDNN takes the second factor as it lies, and would copy a first that lies the other way round. The bias is added
    apart, where it can be fused with what follows.
    """
    for node in list(graph.graph.nodes):
        if node.target not in (aten.mm.default, aten.addmm.default) or node.meta["val"].dtype != torch.float32:
            continue
        *bias, a, b = node.args
        left, right = a.meta["val"], b.meta["val"]
        large = left.shape[0] * left.shape[1] * right.shape[1] >= _LARGE and left.is_contiguous()
        with graph.graph.inserting_before(node):
            result = _call(graph.graph, product if large else aten.mm.default, a, b)
            if bias:
                result = _call(graph.graph, aten.add.Tensor, result, bias[0])
        result.meta = dict(node.meta)
        node.replace_all_uses_with(result)
        graph.graph.erase_node(node)


def _scalars_once(graph: GraphModule) -> None:
    """Inductor computes a scalar anew for every element that it meets: an optimiser's powers, in each of its loops.

    An operation that it does not see through stands between the scalars and what is larger.
    """
    _scalars_first(graph.graph)
    order = {node: place for place, node in enumerate(graph.graph.nodes)}
    waiting = {
        node: [user for user in node.users if _large(user)]
        for node in order
        if _scalar(node) and node.op == "call_function" and any(map(_large, node.users))
    }
    while waiting:  # in as few calls as the order of operations allows
        place = min((user for users in waiting.values() for user in users), key=order.__getitem__)
        ready = [node for node in waiting if order[node] < order[place]]
        with graph.graph.inserting_before(place):
            together = _call(graph.graph, once, ready)
            for i, node in enumerate(ready):
                own = _call(graph.graph, operator.getitem, together, i)
                for user in waiting.pop(node):
                    user.replace_input_with(node, own)


def _scalars_first(graph: Graph) -> None:
    """Moves what is computed from scalar inputs alone to the beginning."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    known, last = {node for node in inputs if _scalar(node)}, inputs[-1]
    for node in list(graph.nodes):
        schema = getattr(node.target, "_schema", None)
        pure = schema is not None and not schema.is_mutable and node.all_input_nodes
        if pure and _scalar(node) and known.issuperset(node.all_input_nodes):
            last.append(node)
            known.add(node)
            last = node


def _scalar(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.dim() == 0


def _large(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.numel() > 1


def _call(graph: Graph, operation: Callable[..., Any], *arguments: Any) -> Node:
    return graph.call_function(operation, arguments)
