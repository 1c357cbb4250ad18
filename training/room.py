"""Whether what is asked for has room in memory: an upper bound before the first step, and what would fit."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from data.memory import available, words
from elbolab.graph.replicate import Allocations

# Weights, their gradients, and what Adam remembers of both.
_COPIES = 4
# What a forward pass keeps, and the gradients of it.
_PASSES = 2


def free(device: torch.device | str = "cpu") -> int:
    """Bytes that are left on a device."""
    device = torch.device(device)
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available()


def check_parameters(build: Callable[[], Iterable[nn.Module]]) -> None:
    """Counts parameters without making them.

    Raises:
        ValueError: there is no room for them.
    """
    try:
        with torch.device("meta"):
            needed = _COPIES * sum(p.numel() * p.element_size() for part in build() for p in part.parameters())
    except (NotImplementedError, RuntimeError):  # a part that looks at its own values: it is made, and then seen
        return
    if needed > (room := free()):
        raise ValueError(
            f"the parameters with their gradients and the optimiser take {words(needed)}, and there are {words(room)}:"
            " a smaller latent or hidden would fit"
        )


def check_step(objective: nn.Module, batch_of: Callable[[int], Tensor], batch: int, device: torch.device) -> None:
    """An upper bound on what a step takes: as if nothing were freed on the way.

    Raises:
        ValueError: there is no room for it.
    """
    spent, mode = [], objective.training
    objective.eval()  # a look is no step: running means stay as they are
    for count in (1, 2):
        with Allocations() as allocations, torch.random.fork_rng(devices=[]), torch.no_grad():
            objective(batch_of(count))
        spent.append(allocations.bytes)
    objective.train(mode)
    each = _PASSES * max(1, spent[1] - spent[0])
    fixed = _PASSES * spent[0] + _COPIES * sum(p.numel() * p.element_size() for p in objective.parameters())
    if fixed + batch * each > (room := free(device)):
        fits = max(0, (room - fixed) // each)
        raise ValueError(
            f"a step on {batch} data takes up to {words(fixed + batch * each)}, and there are {words(room)}: "
            + (f"batch_size = {fits} would fit" if fits else "fewer particles or a smaller network would fit")
        )
