"""What is used of PyTorch's private parts, in one place. Tried with torch 2.11 and 2.13, CPU builds.

A release of PyTorch that moves one of these breaks this file and no other.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing, get_proxy_mode, get_proxy_slot, make_fx
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = [
    "TorchDispatchMode",
    "as_if_compiling",
    "core_operations",
    "inductor",
    "linear",
    "make_fx",
    "node_of",
    "pytree",
    "tracing",
    "untraced",
]


def inductor(graph: GraphModule, examples: Sequence[Tensor], options: dict[str, Any]) -> Callable[..., Any]:
    """Machine code of a graph, by Inductor."""
    with _outer_loops_apart():
        return torch._inductor.compile(graph, list(examples), options=options | _MARK)


_MARK = {"aot_inductor.metadata": {"elbolab": "outer loops apart"}}  # for the cache: this code is not Inductor's own


def _outer_loops_apart() -> AbstractContextManager[Any]:
    """Inductor's loops over the same range are one, unless that gives wrong numbers.

    What one loop leaves for the next is kept in a buffer for one turn; where a turn is a vector of several, they
    overwrite each other (pytorch/pytorch 185702; torch 2.13 still has it). Sums over enumerated states met it.
    """
    from torch._inductor.codegen.cpp import OuterLoopFusedSchedulerNode as Fused  # late: it takes seconds
    from torch._inductor.virtualized import V

    together = Fused.check_outer_fusion_loop_level_attr

    def check(node: Any, kernels: list[Any], depth: int) -> bool:
        shared = getattr(V.local_buffer_context, "local_buffers", None)
        if shared and any(loop.steps != 1 for kernel in kernels for loop in kernel.loop_nest.loops[:depth]):
            return False
        return together(node, kernels, depth)

    return mock.patch.object(Fused, "check_outer_fusion_loop_level_attr", check)


def linear(a: Tensor, b: Tensor) -> Tensor:
    """The product a b by oneDNN, which takes b as it lies."""
    return torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")


def as_if_compiling() -> AbstractContextManager[Any]:
    """torch.optim asks whether it is being compiled before it would read numbers back or look at devices."""
    return mock.patch("torch.compiler.is_compiling", return_value=True)


def core_operations() -> dict[Any, Callable[..., Any]]:
    """What every other ATen operation is decomposed into: about 180 of them are left."""
    return core_aten_decompositions()


def node_of(tensor: Tensor) -> Node | None:
    """Where a tensor stands in the graph that is being traced; None: it comes from outside of it."""
    mode = get_proxy_mode()
    found = None if mode is None else get_proxy_slot(tensor, mode.tracer, None)
    return None if found is None else found.proxy.node


def tracing() -> bool:
    """Whether what is computed now becomes part of a graph; not so while the tracer itself looks at a tensor."""
    return get_proxy_mode() is not None


def untraced() -> AbstractContextManager[Any]:
    """Operations in it are carried out, and are no part of the graph that is being traced."""
    return disable_proxy_modes_tracing()
