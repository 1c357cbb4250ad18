"""A captured graph as machine code: compiled by Inductor, after two changes that it does not make itself."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from elbolab.graph.torch_internals import inductor, linear

aten = torch.ops.aten
_OPTIONS = {
    "fallback_random": True,  # the draws of the eager generators,
    "reorder_for_locality": False,  # and in their order
    "reorder_for_peak_memory": False,
    "size_asserts": False,  # the graph is of these shapes: nothing to check at every step
    "alignment_asserts": False,
}
_OPTIONS_CPU = {
    "realize_reads_threshold": 2,  # what three tensors make, such as a batch, is stored, not made at each use
    "cpp_wrapper": True,  # what calls the kernels is compiled as well
    "cpp.vec_isa_ok": True,  # the processor says what it can; to try it out takes seconds
}
_LARGE_PRODUCT = 2**22  # multiplications, below which how a product is called costs more than what it computes
_LARGE_TENSOR = 2**8  # numbers, below which computing a scalar for each of them costs less than keeping it

_LIBRARY = torch.library.Library("elbolab", "DEF")
_LIBRARY.define("product(Tensor a, Tensor b) -> Tensor")
_LIBRARY.define("once(Tensor scalars) -> Tensor")


_LIBRARY.impl("product", linear, "CPU")
_LIBRARY.impl("once", torch.clone, "CompositeExplicitAutograd")
torch.library.register_fake("elbolab::product", lambda a, b: a.new_empty(a.shape[0], b.shape[1]))
torch.library.register_fake("elbolab::once", torch.empty_like)
product = torch.ops.elbolab.product.default
once = torch.ops.elbolab.once.default


def compile_graph(graph: GraphModule, examples: Sequence[Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """Compiles a graph for inputs of the examples' shapes; the graph is used up.

    Its draws are those that PyTorch's generators give the eager operations, in the same order.

    Args:
        graph: takes and returns tensors; it may write into its inputs.
        examples: what it will be called with, or the like.
    """
    options: dict[str, bool | int] = dict(_OPTIONS)
    _masks_of_known_size(graph)
    if examples[0].device.type == "cpu":
        options = _OPTIONS | _OPTIONS_CPU
        _scalars_once(graph)
        if torch.backends.mkldnn.is_available():
            _products_by_onednn(graph)
    for node in graph.graph.nodes:
        node.meta.clear()  # the tracing's tensors are not the compiler's
    graph.recompile()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's, about itself
        return inductor(graph, examples, options)


def _masks_of_known_size(graph: GraphModule) -> None:
    """`x[mask]` by the places that the mask picks: how many they are is known of a graph, and not to Inductor."""
    for node in list(graph.graph.nodes):
        if node.target not in (aten.index.Tensor, aten.index_put.default):
            continue
        index = node.args[1]
        mask = index[0] if len(index) == 1 else None
        picked = node if node.target is aten.index.Tensor else node.args[2]
        if mask is None or mask.meta["val"].dtype != torch.bool or not picked.meta["val"].dim():
            continue
        with graph.graph.inserting_before(node):
            size = {"size": picked.meta["val"].shape[0]}
            places = graph.graph.call_function(aten.nonzero_static.default, (mask,), size)
            columns = [_call(graph.graph, aten.select.int, places, 1, i) for i in range(mask.meta["val"].dim())]
        node.args = (node.args[0], columns, *node.args[2:])


def _products_by_onednn(graph: GraphModule) -> None:
    """ATen sends float32 products to MKL, which is up to two times slower than oneDNN on some processors.

    oneDNN takes the second factor as it lies; a first that lies the other way round is turned by what computes it. The
    bias is added apart, where it can be fused with what follows.
    """
    for node in list(graph.graph.nodes):
        if node.target not in (aten.mm.default, aten.addmm.default) or node.meta["val"].dtype != torch.float32:
            continue
        *bias, a, b = node.args
        left, right = a.meta["val"], b.meta["val"]
        large = left.shape[0] * left.shape[1] * right.shape[1] >= _LARGE_PRODUCT
        with graph.graph.inserting_before(node):
            if large and not left.is_contiguous():
                a = graph.graph.call_function(aten.clone.default, (a,), {"memory_format": torch.contiguous_format})
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
            kept = _kept(graph.graph, ready)
        for node in ready:
            for user in waiting.pop(node):
                user.replace_input_with(node, kept[node])


def _kept(graph: Graph, scalars: list[Node]) -> dict[Node, Node]:
    """The same numbers, each computed once: one call for all of a dtype."""
    kept: dict[Node, Node] = {}
    for dtype in {node.meta["val"].dtype: None for node in scalars}:  # a set's order would change from run to run
        alike = [node for node in scalars if node.meta["val"].dtype == dtype]
        together = _call(graph, once, _call(graph, aten.stack.default, alike))
        kept |= {node: _call(graph, aten.select.int, together, 0, i) for i, node in enumerate(alike)}
    return kept


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
    return isinstance(value, Tensor) and value.numel() >= _LARGE_TENSOR


def _call(graph: Graph, operation: Callable[..., Any], *arguments: Any) -> Node:
    return graph.call_function(operation, arguments)
