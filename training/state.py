"""What a run is in the middle of: all that has to be saved for it to go on bit for bit."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from training import checkpoint


class State:
    """Parameters, optimiser, the step, and the loss summed over the epoch so far, in nats."""

    def __init__(self, objective: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self.objective = objective
        self.optimizer = optimizer
        self.device = device
        self.step = 0
        self.total = torch.zeros((), dtype=torch.float64, device=device)

    def advance(self, loss: Tensor, count: int, clip: float) -> bool:
        """One step of the optimiser down a loss that is the mean over `count` data.

        False, with nothing changed, if the loss or a gradient is not finite. A gradient longer than `clip` is scaled.
        """
        self.optimizer.zero_grad()
        loss.backward()
        parameters = [p for p in self.objective.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        if not (loss.detach() + norm).isfinite():
            return False
        if clip < math.inf:
            torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        self.optimizer.step()
        self.step += 1
        self.total += loss.detach() * count
        return True

    def mean(self, count: int) -> float:
        """The epoch's loss per datum; the next epoch starts from nothing."""
        mean = self.total.item() / count
        self.total.zero_()
        return mean

    def save(self, folder: Path) -> None:
        checkpoint.save(
            folder,
            {
                "step": self.step,
                "total": self.total,
                "objective": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "generators": checkpoint.generators(),
            },
        )

    def resume(self, folder: Path) -> None:
        """Goes on from a checkpoint.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        saved = checkpoint.load(folder, self.device)
        self.step, self.total = saved["step"], saved["total"]
        self.objective.load_state_dict(saved["objective"])
        self.optimizer.load_state_dict(saved["optimizer"])
        checkpoint.set_generators(saved["generators"])
