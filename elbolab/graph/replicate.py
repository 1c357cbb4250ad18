"""A captured objective many times at once: independent draws at the same parameters and data."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from elbolab.graph.capture import Captured, capture, generators_kept, trained
from elbolab.graph.torch_internals import TorchDispatchMode


def replicate(
    objective: nn.Module, x: Tensor, count: int, *, memory: int = 2**28, captured: Captured | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Losses of shape (count,) and gradients (count, *parameter) of independent draws, at the same parameters and data.

    The graph is vectorised over draws: what does not depend on them is computed once. Chunks stay under about `memory`
    bytes; chunk by chunk the draws come from PyTorch's generator.
    """
    parts = list(replicates(objective, x, count, memory=memory, captured=captured))
    losses = torch.cat([loss for loss, _ in parts])
    return losses, {name: torch.cat([gradients[name] for _, gradients in parts]) for name in parts[0][1]}


def replicates(
    objective: nn.Module, x: Tensor, count: int, *, memory: int = 2**28, captured: Captured | None = None
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """The same chunk by chunk, for studies whose gradients are too many to keep."""
    captured = captured or capture(objective, x)
    values = [p.detach() for p in trained(objective).values()]
    buffers = list(objective.buffers())

    def one(_: Tensor) -> tuple[Tensor, list[Tensor]]:
        loss, gradients, _buffers = captured(values, buffers, x)
        return loss, gradients

    vectorized = torch.func.vmap(one, randomness="different")
    size = max(1, memory // _bytes_per_replicate(captured.graph, values, buffers, x))
    for start in range(0, count, size):
        with torch.no_grad():
            losses, stacked = vectorized(x.new_empty(min(size, count - start)))
        yield losses, dict(zip(captured.parameters, stacked, strict=True))


def _bytes_per_replicate(graph: GraphModule, values: list[Tensor], buffers: list[Tensor], x: Tensor) -> int:
    """What the gradients and about all that is alive at once in between take."""
    with Allocations() as allocations, generators_kept(x.device):
        graph(values, buffers, x)
    return sum(v.nbytes for v in values) + allocations.bytes // 2


class Allocations(TorchDispatchMode):
    """Adds up the bytes of all that the operations return."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.bytes += result.nbytes
        return result
