"""What a run is in the middle of: all that has to be saved for it to go on bit for bit."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from training import checkpoint
from training.checkpoint import CheckpointError
from training.processes import Processes


class State:
    """Parameters, optimiser, the step, and the loss summed over the epoch so far, in nats.

    `compiled` says how steps are taken, once that is decided: eager and compiled steps round differently.
    """

    def __init__(
        self, objective: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device, processes: Processes
    ) -> None:
        self.objective = objective
        self.optimizer = optimizer
        self.device = device
        self.processes = processes
        self.step = 0
        self.total = torch.zeros((), dtype=torch.float64, device=device)
        self.compiled: bool | None = None
        for group in optimizer.param_groups:
            if device.type == "cuda" and "capturable" in group:
                group["capturable"] = True  # its step count lives on the device: nothing to wait for

    def advance(self, loss: Tensor, count: float, clip: float) -> bool:
        """One step of the optimiser down a loss that is the mean over `count` data.

        False, with nothing changed, if the loss or a gradient is not finite. A gradient longer than `clip` is scaled.
        """
        self.optimizer.zero_grad()
        loss.backward()
        parameters = [p for p in self.objective.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        if not self.processes.all((loss.detach() + norm).isfinite()):
            return False
        if clip < math.inf:
            torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        self.optimizer.step()
        self.step += 1
        self.total += loss.detach() * count
        return True

    def mean(self, count: int) -> float:
        """The epoch's loss per datum; the next epoch starts from nothing."""
        mean = self.processes.sum(self.total).item() / count
        self.total.zero_()
        return mean

    def save(self, folder: Path) -> None:
        """Writes the checkpoint; with several processes, all of them have to ask for it."""
        generators, totals = (self.processes.gather(own) for own in (checkpoint.generators(), self.total.cpu()))
        if not self.processes.first:
            return
        checkpoint.save(
            folder,
            {
                "step": self.step,
                "totals": totals,
                "compiled": self.compiled,
                "objective": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "generators": generators,
            },
        )

    def resume(self, folder: Path) -> None:
        """Goes on from a checkpoint.

        Raises:
            CheckpointError: there is none, it is damaged, or it is of another number of processes.
        """
        saved = checkpoint.load(folder, self.device)
        world = self.processes.world
        if len(saved["generators"]) != world:
            raise CheckpointError(
                f"{folder} was written by {len(saved['generators'])} processes, and these are {world}"
            )
        self.step, self.compiled = saved["step"], saved["compiled"]
        self.total.copy_(saved["totals"][self.processes.rank])
        self.objective.load_state_dict(saved["objective"])
        self.optimizer.load_state_dict(saved["optimizer"])
        checkpoint.set_generators(saved["generators"][self.processes.rank])
