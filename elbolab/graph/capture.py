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

from elbolab.graph.trace import CannotCapture, trace


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
    with generators_kept(x.device):
        expected = function(*values, x)
    with generators_kept(x.device):
        captured = Captured(trace(function, *values, x), *names)
    with generators_kept(x.device):
        _same(captured(*values, x), expected)
    return captured


def _same(found: tuple, expected: tuple) -> None:
    precise = expected[0].dtype == torch.float64
    close = 1e-9 if precise else 1e-3
    try:
        torch.testing.assert_close(found, expected, equal_nan=True, rtol=close, atol=close)
    except AssertionError as error:
        reason = str(error).strip().splitlines()[0]
        raise CannotCapture(f"the graph does not give what the programs give: {reason}") from error


@contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """Leaves the generators as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
