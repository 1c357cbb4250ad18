"""How the learning rate changes as a run goes on: PyTorch's schedulers, as functions of the step."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from training import legality
from training.catalogue import SCHEDULES

Optimized = Callable[[Iterable], Optimizer]
Scheduled = Callable[[Optimizer], LRScheduler]
By = Literal["epoch", "step"]


class Schedule:
    """What a scheduler of torch.optim makes of an optimiser's options, known for every step before the first.

    The scheduler itself runs once, on an optimiser of the same options that moves nothing. So a run that is resumed
    needs no memory of it, and steps that were not finite leave none.
    """

    def __init__(
        self, optimizer: Optimized, scheduler: Scheduled | None = None, by: By = "epoch", *, total: int, per_epoch: int
    ) -> None:
        """
        Args:
            optimizer, scheduler: what makes them; without a scheduler the options stay as they are.
            by: after what the scheduler takes its steps, an epoch or a step of the optimiser.
            total: steps of the optimiser in the whole run.
            per_epoch: how many of them are an epoch.

        Raises:
            ValueError: the scheduler does not go by the step alone, ends before the run, or gives a learning rate
                that is negative or not finite.
        """
        self._length = 1 if by == "step" else per_epoch
        self._values = {} if scheduler is None else _run(optimizer, scheduler, -(-total // self._length), by)

    @property
    def varies(self) -> tuple[str, ...]:
        """The options that are not the same at every step."""
        return tuple(self._values)

    def __call__(self, optimizer: Optimizer, step: int) -> None:
        """Sets the options of an optimiser for a step, counted from 0."""
        for group in optimizer.param_groups:
            for name, values in self._values.items():
                group[name] = values[step // self._length]


def _run(optimizer: Optimized, scheduler: Scheduled, count: int, by: By) -> dict[str, list]:
    """The options that a scheduler changes, before each of its steps."""
    moves = optimizer([torch.nn.Parameter(torch.zeros(1))])
    start = _options(moves)
    try:
        schedule = scheduler(moves)
    except (TypeError, ValueError, KeyError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(f"the schedule cannot be made: {error}; there are: {legality.names(SCHEDULES)}") from error
    legality.check_schedule(schedule)
    found: dict[str, list] = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")  # nothing is optimised here
        for passed in range(count):
            try:
                if passed:
                    schedule.step()
            except (TypeError, ValueError, ZeroDivisionError) as error:
                reason = f"{type(schedule).__name__} cannot go on after {passed} of the run's {count} {by}s"
                raise ValueError(f"schedule = {reason}: {error}") from error
            now = _options(moves)
            if not 0 <= now["lr"] < float("inf"):
                reason = f"{type(schedule).__name__} makes the learning rate {now['lr']:.4g}"
                raise ValueError(f"schedule = {reason} after {passed} of the run's {count} {by}s")
            for name, value in now.items():
                if name in found or value != start[name]:
                    found.setdefault(name, [start[name]] * passed).append(value)
    return found


def _options(moves: Optimizer) -> dict[str, Any]:
    """An optimiser's options; of what a scheduler adds to them for itself, nothing."""
    (group,) = moves.param_groups
    return {name: value for name, value in group.items() if name in moves.defaults}
