"""A captured graph as machine code: compiled by Inductor, its matrix products by oneDNN on a CPU."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

aten = torch.ops.aten


@torch.library.custom_op("elbolab::product", mutates_args=())
def product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b by oneDNN, which takes transposed operands as they are; behind an operation that Inductor leaves alone."""
    return torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")


@product.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[1])


def compiled(
    graph: GraphModule, examples: Sequence[Tensor], *, eager_draws: bool = False
) -> Callable[..., tuple[Tensor, ...]]:
    """Compiles a graph for inputs of the examples' shapes; the graph is used up.

    Args:
        graph: takes and returns tensors; it may write into its inputs.
        examples: what it will be called with, or the like.
        eager_draws: draw as the eager operations do, number by number, instead of by a faster generator that they seed.
    """
    if examples[0].device.type == "cpu" and torch.backends.mkldnn.is_available():
        _products_by_onednn(graph)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's, about itself
        return torch._inductor.compile(graph, list(examples), options={"fallback_random": eager_draws})


def _products_by_onednn(graph: GraphModule) -> None:
    """ATen sends float32 products to MKL, which is up to two times slower than oneDNN on some processors.

    The bias is added apart, where it can be fused with what follows.
    """
    for node in list(graph.graph.nodes):
        if node.target not in (aten.mm.default, aten.addmm.default) or node.meta["val"].dtype != torch.float32:
            continue
        *bias, a, b = node.args
        with graph.graph.inserting_before(node):
            result = _call(graph, product._opoverload, a, b)
            if bias:
                result = _call(graph, aten.add.Tensor, result, bias[0])
        node.replace_all_uses_with(result)
        graph.graph.erase_node(node)
    graph.recompile()


def _call(graph: GraphModule, operation: Callable, *arguments: Any) -> Node:
    return graph.graph.call_function(operation, arguments)
