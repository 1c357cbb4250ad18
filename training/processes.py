"""Several processes on one run, started by PyTorch's own engine: torchrun --nproc_per_node N train.py ..."""

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


class Processes:
    """Who takes part in a run; alone, every method is the identity.

    Each step's batch is split among the processes, gradients are averaged by DistributedDataParallel, every process
    draws from a generator of its own, and the first one writes.
    """

    def __init__(self) -> None:
        self.world, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def join(self, device: torch.device) -> None:
        """Waits for the others, and gives this process draws of its own."""
        if self.world > 1:
            if not dist.is_initialized():
                dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            if self.rank:
                torch.manual_seed(torch.initial_seed() + self.rank)

    def leave(self) -> None:
        """Ends what `join` began."""
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()

    def wrap(self, objective: nn.Module) -> nn.Module:
        """The objective with gradients that are averaged over the processes."""
        return DistributedDataParallel(objective, static_graph=True) if self.world > 1 else objective

    def share(self, index: Tensor) -> Tensor:
        """This process's part of a batch."""
        return index.tensor_split(self.world)[self.rank]

    def sum(self, value: Tensor) -> Tensor:
        """The sum over the processes."""
        if self.world > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def all(self, flag: Tensor | bool) -> bool:
        """Whether it is so in every process: they go on together or not at all."""
        if self.world == 1:
            return bool(flag)
        count = torch.as_tensor(flag).to(torch.int64)
        if dist.get_backend() == "nccl":
            count = count.cuda()
        return int(self.sum(count)) == self.world

    def largest(self, number: int) -> int:
        """The largest of the processes' numbers."""
        if self.world == 1:
            return number
        count = torch.tensor(number)
        if dist.get_backend() == "nccl":
            count = count.cuda()
        dist.all_reduce(count, dist.ReduceOp.MAX)
        return int(count)

    def gather(self, value: Any) -> list[Any]:
        """What every process has, in their order."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values
