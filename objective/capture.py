"""Any objective on a model and guide as one pure graph: Pyro's handlers run once, while it is traced.

What is left are the tensor operations of the loss and of its backward pass, (parameters, buffers, x) -> (loss,
gradients, buffers), with no Python in them. The graph can be compiled, replayed, vectorised over replicates or read as
algebra, and in float64 it equals the objective that it came from bit for bit.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.utils._python_dispatch import TorchDispatchMode

from objective.tracing import CannotCapture, trace


@dataclass(frozen=True)
class Captured:
    """A captured objective: the graph, and the names of what it takes and returns."""

    graph: GraphModule
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]

    def __call__(
        self, parameters: Sequence[Tensor], buffers: Sequence[Tensor], x: Tensor
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The loss, its gradients, and the buffers as they are afterwards, each in the order of its names."""
        return self.graph(list(parameters), list(buffers), x)


def trained(objective: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that an objective has gradients for, by name, what is shared only once."""
    return {name: p for name, p in objective.named_parameters() if p.requires_grad}


def loss_and_gradients(
    objective: nn.Module,
    names: tuple[Sequence[str], Sequence[str]],
    values: tuple[Sequence[Tensor], Sequence[Tensor]],
    x: Tensor,
    *,
    count: int = 1,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """What `capture` traces: the objective over `count`, as a function of its parameters and buffers.

    Buffers are not written to, but returned as they are afterwards.
    """
    parameters = [value.detach().requires_grad_() for value in values[0]]
    buffers = {name: value.clone() for name, value in zip(names[1], values[1], strict=True)}
    loss = torch.func.functional_call(objective, dict(zip(names[0], parameters, strict=True)) | buffers, (x,)) / count
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
    return loss.detach(), gradients, list(buffers.values())


def capture(objective: nn.Module, x: Tensor) -> Captured:
    """Captures `elbo(model, guide)` for batches of the shape of x; nothing is changed by it.

    The objective runs once before, eagerly and validated as it is set, so that what is wrong is said in Pyro's words;
    what the graph computes has to be what that run did.

    Raises:
        CannotCapture: what a program does depends on values that it computes.
    """
    parameters, buffers = trained(objective), dict(objective.named_buffers())
    names = tuple(parameters), tuple(buffers)

    def function(values: list[Tensor], state: list[Tensor], batch: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        return loss_and_gradients(objective, names, (values, state), batch)

    values = [p.detach() for p in parameters.values()], list(buffers.values())
    with undisturbed(x.device):
        expected = function(*values, x)
    with undisturbed(x.device):
        captured = Captured(trace(function, *values, x), *names)
    with undisturbed(x.device):
        _same(captured(*values, x), expected)
    return captured


def _same(found: tuple, expected: tuple) -> None:
    precise = expected[0].dtype == torch.float64
    tolerance = {"rtol": 1e-9, "atol": 1e-9} if precise else {"rtol": 1e-3, "atol": 1e-3}
    try:
        torch.testing.assert_close(found, expected, equal_nan=True, **tolerance)
    except AssertionError as error:
        reason = str(error).strip().splitlines()[0]
        raise CannotCapture(f"the graph does not give what the programs give: {reason}") from error


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Leaves the generators as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


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
        loss, gradients, _ = captured(values, buffers, x)
        return loss, gradients

    vectorized = torch.func.vmap(one, randomness="different")
    size = max(1, memory // _bytes_per_replicate(captured.graph, values, buffers, x))
    for start in range(0, count, size):
        with torch.no_grad():
            loss, gradients = vectorized(x.new_empty(min(size, count - start)))
        yield loss, dict(zip(captured.parameters, gradients, strict=True))


def _bytes_per_replicate(graph: GraphModule, values: list[Tensor], buffers: list[Tensor], x: Tensor) -> int:
    """What the gradients and about all that is alive at once in between take."""
    with Allocations() as allocations, undisturbed(x.device):
        graph(values, buffers, x)
    return sum(v.nbytes for v in values) + allocations.bytes // 2


class Allocations(TorchDispatchMode):
    """Adds up the bytes of all that the operations return."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.bytes += result.nbytes
        return result
