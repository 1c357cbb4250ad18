"""Gradient estimators side by side on one model, guide and batch: bias, variance, signal-to-noise ratio and cost."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pyro.infer import ELBO
from torch import Tensor
from tqdm import tqdm

from elbolab.estimators.base import Known
from elbolab.studying.cloud import Cloud, Coordinate, columns, mark, most_varying, named
from elbolab.studying.moments import Moments, joint_score, worst_score
from elbolab.studying.replicated_objective import Gradients, ReplicatedObjective, clock
from elbolab.studying.result import Result
from elbolab.validation import unvalidated

MEMORY = 2**26  # bytes per chunk of replicates: large enough to fill the cores, small enough for their caches
_PILOT = 64


@dataclass
class _Measured:
    """A subject's replicates, reduced."""

    subject: ReplicatedObjective
    warm_up: int
    moments: Moments
    losses: Tensor
    draws: np.ndarray  # (replicates, 3): the coordinate of the histogram, and two of the cloud
    milliseconds: float
    milliseconds_loop: float


class Study:
    """Subjects on one model, guide and batch; `results` measures them at the parameters' present values.

    They are captured once, whatever the parameters are then.
    """

    def __init__(self, subjects: Sequence[ReplicatedObjective], *, known: Known | None = None) -> None:
        """
        Args:
            subjects: all on the same model, guide and batch.
            known: what is known exactly of this very model, guide and batch.
        """
        if not subjects:
            raise ValueError("a study is of one objective at least")
        self.subjects, self.known = subjects, known

    def results(self, replicates: int = 1000, *, memory: int = MEMORY, progress: bool = False) -> list[Result]:
        """Draws gradients of every objective, in chunks of about `memory` bytes, and says what they are like."""
        if replicates < 2:
            raise ValueError(f"replicates = {replicates}: a variance takes two at least")
        bar = tqdm(
            total=len(self.subjects) * replicates, unit=" gradients", leave=False, disable=None if progress else True
        )
        with unvalidated(), bar:
            coordinates = self._coordinates()
            measured = [_measure(subject, replicates, memory, coordinates, bar) for subject in self.subjects]
        return [self._result(one, measured, coordinates) for one in measured]

    def _coordinates(self) -> list[Coordinate]:
        """In a few gradients of the first objective: the guide's of the largest mean, then the two that vary most."""
        subject, pilot = self.subjects[0], Moments()
        for _, gradients in subject.draws(_PILOT, MEMORY):
            pilot.add(gradients)
        names = [name for name in pilot.names if name.startswith("guide.")] or pilot.names
        name = max(names, key=lambda name: pilot.mean(name).abs().max().item())
        return [(name, int(pilot.mean(name).abs().argmax())), *most_varying(pilot)]

    def _result(self, one: _Measured, others: list[_Measured], coordinates: list[Coordinate]) -> Result:
        subject, moments = one.subject, one.moments
        name, reference = self._reference(one, others)
        score, bound = worst_score(moments, reference) if reference is not None else (math.nan, math.nan)
        joint, joint_bound = joint_score(moments, reference) if reference is not None else (math.nan, math.nan)
        kind, signal = self._signal(subject, name, reference)
        names = [named(place, moments.mean(place[0]).shape) for place in coordinates]
        cloud = Cloud((names[1], names[2]), one.draws[:, 1:], mark(reference, coordinates[1:]), name == "exact")
        return Result(
            label=subject.label,
            estimator=subject.estimator,
            particles=subject.elbo.num_particles,
            bound=subject.bound,
            unbiased=subject.unbiased,
            value=-one.losses.mean().item(),
            value_error=(one.losses.std() / len(one.losses) ** 0.5).item(),
            reference=name,
            bias_z=score,
            bias_bound=bound,
            joint_z=joint,
            joint_bound=joint_bound,
            coordinates=sum(moments.mean(name).numel() for name in moments.names),
            replicates=moments.count,
            how="vmap" if subject.captured else "loop",
            warm_up=one.warm_up,
            variance=moments.total_variance(),
            variance_model=moments.total_variance("model."),
            variance_guide=moments.total_variance("guide."),
            variance_error=moments.variance_error(),
            variance_model_error=moments.variance_error("model."),
            variance_guide_error=moments.variance_error("guide."),
            snr_model=moments.signal_to_noise("model.", signal),
            snr_guide=moments.signal_to_noise("guide.", signal),
            signal=kind,
            snr_floor=0.0 if kind == "exact" else math.sqrt(2 / math.pi / moments.count),
            evaluations=subject.evaluations,
            milliseconds=one.milliseconds,
            milliseconds_loop=one.milliseconds_loop,
            capture_seconds=subject.seconds,
            coordinate=names[0],
            draws=one.draws[:, 0],
            cloud=cloud,
        )

    @staticmethod
    def _signal(
        subject: ReplicatedObjective, name: str, reference: Gradients | Moments | None
    ) -> tuple[str, Gradients | None]:
        """What counts as signal: the exact gradient, else an unbiased mean, another's where its own has a bias."""
        if isinstance(reference, dict):
            return "exact", reference
        if subject.unbiased:
            return "mean", None
        if isinstance(reference, Moments):
            return f"mean of {name}", {parameter: reference.mean(parameter) for parameter in reference.names}
        return "mean, bias included", None

    def _reference(self, one: _Measured, others: list[_Measured]) -> tuple[str, Gradients | Moments | None]:
        """What its mean is held against: the exact gradient, or the least noisy other unbiased for its bound."""
        exact = one.subject.exact(self.known) if self.known is not None else None
        if exact is not None:
            return "exact", exact
        able = [
            other
            for other in others
            if other is not one and other.subject.unbiased and other.subject.bound == one.subject.bound
        ]
        best = min(able, key=lambda m: m.moments.total_variance() / m.moments.count, default=None)
        return ("-", None) if best is None else (best.subject.label, best.moments)


def _measure(
    subject: ReplicatedObjective, replicates: int, memory: int, coordinates: list[Coordinate], bar: tqdm
) -> _Measured:
    bar.set_description(subject.label)
    warm_up = subject.warm_up()
    moments, losses, draws, seconds = Moments(), [], [], 0.0
    chunks, device = subject.draws(replicates, memory), subject.x.device
    start = clock(device)
    for loss, gradients in chunks:
        seconds += clock(device) - start
        moments.add(gradients)
        losses.append(loss.double())
        draws.append(columns(gradients, coordinates))
        bar.update(len(loss))
        start = clock(device)
    return _Measured(
        subject=subject,
        warm_up=warm_up,
        moments=moments,
        losses=torch.cat(losses),
        draws=np.concatenate(draws),
        milliseconds=1e3 * seconds / moments.count,
        milliseconds_loop=subject.milliseconds_eager(),
    )


def study(
    model: Callable,
    guide: Callable,
    x: Tensor,
    objectives: Mapping[str, ELBO],
    *,
    replicates: int = 1000,
    memory: int = MEMORY,
    progress: bool = False,
    known: Known | None = None,
) -> list[Result]:
    """Compares the gradients of objectives at the present parameters; `pandas.DataFrame([r.as_dict() for r in rows])`.

    Every objective's gradient is drawn `replicates` times at the same parameters and data, captured as one graph and
    vectorised (in a loop, and less often, where it cannot be). What an estimator learns itself is first trained on x
    for 300 steps, with model and guide held still. Decoder evaluations are counted, times measured here and now.

    Args:
        model, guide, x: two Pyro programs and the batch that they are called with.
        objectives: by label: Pyro's ELBOs, ours, or anybody's.
        replicates: gradients per objective.
        memory: bytes that a chunk of them may take, about.
        progress: whether to show a bar.
        known: what is known exactly of this very model, guide and batch; else means are held against the least noisy
            other estimator that is unbiased for the same bound.

    Raises:
        ValueError: an estimator that cannot serve the guide.
    """
    subjects = [ReplicatedObjective(label, elbo, model, guide, x) for label, elbo in objectives.items()]
    return Study(subjects, known=known).results(replicates, memory=memory, progress=progress)
