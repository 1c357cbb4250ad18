"""A step of SVI as Pyro takes it, watched: what it trains, what it finds, what it leaves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.infer.util import zero_grads
from pyro.optim import PyroOptim
from torch import Tensor, nn

from elbolab.graph.reads import CannotCapture
from elbolab.graph.torch_internals import pytree
from elbolab.stepping.optimizers import Together


@dataclass
class Taken:
    """What a step gave: its loss, and the gradients that it moved the parameters by."""

    loss: Any
    parameters: list[Tensor] = field(default_factory=list)
    names: dict[str, Tensor] = field(default_factory=dict)
    gradients: list[Tensor | None] = field(default_factory=list)
    new: bool = False  # whether parameters were made in it


def step(
    loss_and_grads: Callable[..., Any],
    model: Callable,
    guide: Callable,
    optim: PyroOptim,
    args: tuple,
    kwargs: dict[str, Any],
    *,
    keep: bool = False,
) -> Taken:
    """One step as `pyro.infer.SVI` takes it; with `keep`, its gradients are kept."""
    before = set(pyro.get_param_store().keys())
    with poutine.trace(param_only=True) as sites:
        loss = loss_and_grads(model, guide, *args, **kwargs)
    taken = Taken(loss)
    for name, site in sites.trace.nodes.items():
        value: Any = site["value"]
        taken.names[name] = value.unconstrained() if hasattr(value, "unconstrained") else value
    found = {id(p): p for p in taken.names.values()}
    if isinstance(optim, Together):  # as torch.optim has it: what modules own is trained, whoever asks for it
        for part in (model, guide, getattr(loss_and_grads, "__self__", None)):
            if isinstance(part, nn.Module):
                found |= {id(p): p for p in part.parameters() if p.requires_grad}
    taken.parameters = list(found.values())
    taken.new = not before.issuperset(pyro.get_param_store().keys())
    if keep:
        taken.gradients = [None if p.grad is None else p.grad.clone() for p in taken.parameters]
    optim(taken.parameters)
    if not isinstance(optim, Together):
        zero_grads(taken.parameters)
    return taken


def as_tensors(loss: Any) -> Any:
    """Numbers as 0-dimensional tensors in float64."""
    return pytree.tree_map(
        lambda v: v.detach().double() if isinstance(v, Tensor) else torch.tensor(v, dtype=torch.float64), loss
    )


class Standing:
    """Tensors, numbers and generators as they were, to go back to."""

    def __init__(self, tensors: Sequence[Tensor], numbers: Sequence[tuple[dict, str]], places: Sequence[tuple]) -> None:
        self.generators = generators()
        self._tensors = [(t, t.detach().clone()) for t in tensors]
        self._numbers = [(where, name, where[name]) for where, name in numbers]
        self._places = [(c, k, c[k], c[k].detach().clone()) for c, k in places]

    @torch.no_grad()
    def restore(self) -> None:
        for tensor, value in self._tensors:
            tensor.detach().copy_(value)
        for where, name, number in self._numbers:
            where[name] = number
        for container, key, tensor, value in self._places:
            container[key] = tensor
            tensor.detach().copy_(value)
        set_generators(self.generators)


def generators() -> list[Tensor]:
    """The states of PyTorch's generators: the CPU's, and those of CUDA devices in use."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(i) for i in devices)]


def set_generators(states: Sequence[Tensor]) -> None:
    """Puts them back."""
    torch.set_rng_state(states[0])
    for i, state in enumerate(states[1:]):
        torch.cuda.set_rng_state(state, i)


def same_draws(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    """
    Raises:
        CannotCapture: the graph draws other random numbers than the programs, or another many.
    """
    if not all(map(torch.equal, found, expected)):
        raise CannotCapture("the graph does not draw as many random numbers as the programs do")
