"""In which order the data come, and how many steps an epoch has."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from training.processes import Processes


def steps_per_epoch(data: int, batch_size: int, processes: Processes) -> int:
    """All data, the last few of them in a smaller batch; fewer than there are processes are left out."""
    full, rest = divmod(data, batch_size)
    return max(1, full + (rest >= processes.world))


def fewest(data: int, batch_size: int, processes: Processes) -> int:
    """The fewest data that a process is given at any step."""
    full, rest = divmod(data, batch_size)
    sizes = [batch_size] * (full > 0) + [rest] * (rest >= processes.world)
    return min(sizes, default=data) // processes.world


@lru_cache(maxsize=2)  # the batches that are next may be the next epoch's
def order(seed: int, epoch: int, count: int, device: torch.device) -> Tensor:
    """The order of the data in an epoch, a function of seed and epoch, so that a resumed run needs no memory of it."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    return torch.randperm(count, generator=torch.Generator().manual_seed(mixed)).to(device)
