"""Where along training estimators are compared: their ranking changes between a fresh model and a trained one."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from training import Experiment, RunFolder

NAMES = {"start": 0.0, "middle": 0.5, "end": 1.0}  # the share of the steps
_BATCH, _RATE = 128, 1e-3


class TrainingPoint(NamedTuple):
    """A moment of training: the parameters and buffers of model and guide."""

    name: str
    model: dict[str, Tensor]
    guide: dict[str, Tensor]

    @classmethod
    def of(cls, name: str, lab: Experiment) -> "TrainingPoint":
        states = ({k: v.detach().clone() for k, v in m.state_dict().items()} for m in (lab.model, lab.guide))
        return cls(name, *states)

    def visit(self, lab: Experiment) -> None:
        """Takes model and guide there."""
        lab.model.load_state_dict(self.model)
        lab.guide.load_state_dict(self.guide)


def wanted_steps(points: str, steps: int) -> dict[str, int]:
    """Names and numbers of steps, as in start,50,end, by the step at which they come.

    Raises:
        ValueError: another name, or a number beyond the end.
    """
    found = {}
    for name in points.split(","):
        step = round(NAMES[name] * steps) if name in NAMES else int(name) if name.isdecimal() else -1
        if not 0 <= step <= steps:
            raise ValueError(f"points = {name}: {', '.join(NAMES)} or a step from 0 to {steps}")
        found[f"{name} (step {step})" if name in NAMES else f"step {step}"] = step
    return dict(sorted(found.items(), key=lambda item: item[1]))


def trained_here(lab: Experiment, points: dict[str, int], *, progress: bool = True) -> list[TrainingPoint]:
    """Trains with Adam and the experiment's own ELBO."""
    found, optimizer = [], torch.optim.Adam(lab.objective.parameters(), lr=_RATE)
    for step in tqdm(range(max(points.values()) + 1), unit=" steps", leave=False, disable=None if progress else True):
        found += [TrainingPoint.of(name, lab) for name, at in points.items() if at == step]
        index = torch.randint(len(lab.dataset.train), (_BATCH,), device=lab.device)
        optimizer.zero_grad()
        (lab.objective(lab.dataset.batch(index)) / len(index)).backward()
        optimizer.step()
    return found


def of_run(path: Path, device: str, *, trust: bool = False) -> tuple[Experiment, list[TrainingPoint]]:
    """A run's experiment, fresh from its configuration (start) and as its checkpoint has it (end).

    Raises:
        ValueError: the folder holds no run, or names code that is not trusted.
        CheckpointError: its checkpoint is missing or damaged.
    """
    folder = RunFolder(path)
    lab = Experiment.of(folder, device=device, trust=trust)
    start = TrainingPoint.of("start (step 0)", lab)
    saved = lab.take(folder)
    return lab, [start, TrainingPoint.of(f"end (step {saved['step']})", lab)]
