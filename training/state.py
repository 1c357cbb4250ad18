"""What a run is in the middle of: all that has to be saved for it to go on bit for bit."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training import checkpoint, history
from training.checkpoint import CheckpointError
from training.processes import Processes


class State:
    """Parameters, optimiser, the step, the loss summed over the epoch so far, in nats, and the history of epochs.

    `compiled` says how steps are taken, once that is decided: eager and compiled steps round differently. `untrained`
    is the score before the first step; `unsaved`, whether there is what no checkpoint holds yet. `record` is what
    else a checkpoint keeps: options, data, versions.
    """

    def __init__(
        self,
        objective: nn.Module,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        processes: Processes,
        *,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        self.objective = objective
        self.optimizer = optimizer
        self.device = device
        self.processes = processes
        self.record = dict(record or {})
        self.step = 0
        self.total = torch.zeros((), dtype=torch.float64, device=device)
        self.norms = torch.zeros((), dtype=torch.float64, device=device)
        self.compiled: bool | None = None
        self.history: list[dict[str, Any]] = []
        self.untrained: float | None = None
        self.unsaved = False
        for group in optimizer.param_groups:
            if device.type == "cuda" and "capturable" in group:
                group["capturable"] = True  # its step count lives on the device: nothing to wait for
        self._given = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]

    @property
    def best(self) -> Mapping[str, Any] | None:
        """The line of the history with the best validation -ELBO; none without a validation split."""
        return history.best(self.history)

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
        self.norms += norm.detach()
        return True

    def mean(self, count: int) -> float:
        """The epoch's loss per datum; the next epoch starts from nothing."""
        mean = self.processes.sum(self.total).item() / count
        self.total.zero_()
        return mean

    def so_far(self, count: int) -> float:
        """The loss per datum of the part of an epoch that has passed, `count` data, as this process saw it."""
        return self.total.item() * self.processes.world / count

    def gradient_norm(self, steps: int) -> float:
        """The mean length of the epoch's gradients before they were clipped; the next epoch starts from nothing."""
        mean = self.norms.item() / steps
        self.norms.zero_()
        return mean

    def snapshot(self) -> dict[str, Any]:
        """What a checkpoint holds; with several processes, all of them have to ask for it."""
        generators, totals = (self.processes.gather(own) for own in (checkpoint.generators(), self.total.cpu()))
        return {
            "step": self.step,
            "totals": totals,
            "norms": self.norms.cpu(),
            "compiled": self.compiled,
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generators": generators,
            "history": self.history,
            "untrained": self.untrained,
            "record": self.record,
        }

    def save(self, folder: Path, *, best: bool = False) -> None:
        """Writes the checkpoint; `best`, where it ends an epoch with the best score so far."""
        snapshot = self.snapshot()
        if self.processes.first:
            checkpoint.save(folder, snapshot, best=best)

    def check(self, saved: dict[str, Any], path: Path) -> None:
        """Whether what was read from a checkpoint is of this run; nothing is changed yet.

        Raises:
            CheckpointError: it is of another network, optimiser or number of processes.
        """
        world = self.processes.world
        if len(saved["generators"]) != world or len(saved["totals"]) != world:
            raise CheckpointError(f"{path} was written by {len(saved['generators'])} processes, and these are {world}")
        check_parameters(self.objective, saved["objective"], path)
        if not self._fits(saved["optimizer"]):
            raise CheckpointError(f"{path} holds the memory of another optimiser or network")

    def _fits(self, saved: dict[str, Any]) -> bool:
        """Whether an optimiser's saved state is one of this optimiser on these parameters."""
        now = self.optimizer.state_dict()["param_groups"]
        shapes = [p.shape for group in self.optimizer.param_groups for p in group["params"]]
        try:
            return [(g["params"], g.keys()) for g in saved["param_groups"]] == [
                (g["params"], g.keys()) for g in now
            ] and all(
                _is_memory(value, shapes[number])
                for number, memory in saved["state"].items()
                for value in memory.values()
                if isinstance(value, Tensor)
            )
        except (AttributeError, IndexError, KeyError, TypeError):
            return False

    def restore(self, saved: dict[str, Any]) -> None:
        """Goes on from what `check` found to be right."""
        self.step, self.compiled, self.untrained = saved["step"], saved["compiled"], saved.get("untrained")
        self.history = saved.get("history", [])
        self.total.copy_(saved["totals"][self.processes.rank])
        self.norms.copy_(saved.get("norms", self.norms))
        self.objective.load_state_dict(saved["objective"])
        self.optimizer.load_state_dict(saved["optimizer"])
        try:
            checkpoint.set_generators(saved["generators"][self.processes.rank])
        except (RuntimeError, TypeError, AttributeError) as error:
            raise CheckpointError(f"the checkpoint's generators are not PyTorch's: {error}") from error

    def change(self, options: Iterable[str]) -> None:
        """Takes the optimiser's options of these names, such as optimizer.lr, as it was made with, not as restored."""
        for name in options:
            self.unsaved = True
            part, _, own = name.partition(".")
            for group, given in zip(self.optimizer.param_groups, self._given, strict=True):
                if part == "optimizer" and own in given:
                    group[own] = given[own]


def check_parameters(objective: nn.Module, saved: Mapping[str, Tensor], path: Path) -> None:
    """Whether a checkpoint's parameters are these.

    Raises:
        CheckpointError: names or shapes differ.
    """
    now = {name: value.shape for name, value in objective.state_dict().items()}
    before = {name: value.shape for name, value in saved.items()}
    if wrong := sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name)):
        raise CheckpointError(
            f"{path} is of another network: {wrong[0]} has shape {_shape(before.get(wrong[0]))} there,"
            f" {_shape(now.get(wrong[0]))} here"
        )


def _is_memory(value: Tensor, shape: torch.Size) -> bool:
    """A count, or numbers for a parameter's entries, rows or columns."""
    if not value.isfinite().all():
        return False
    return not value.dim() or (
        value.dim() == len(shape) and all(a in (1, b) for a, b in zip(value.shape, shape, strict=True))
    )


def _shape(shape: torch.Size | None) -> str:
    return "no place" if shape is None else str(tuple(shape))
