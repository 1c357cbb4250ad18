"""Gradient estimators side by side, at several points of training or where the exact answer is known."""

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyro
import torch
from pyro.infer import ELBO, TraceMeanField_ELBO
from torch import nn
from tqdm import tqdm

from compare.gradients.training_points import TrainingPoint, of_run, trained_here, wanted_steps
from data.files import check_writable
from elbolab import oracles
from elbolab.estimators.base import Known
from elbolab.estimators.conditions import CODES
from elbolab.estimators.score import RLOO
from elbolab.programs.draw import Draw
from elbolab.report.study import study_page
from elbolab.studying import named_estimators, pictures, snr_slopes
from elbolab.studying.replicated_objective import ReplicatedObjective
from elbolab.studying.study import Result, Study
from elbolab.studying.table import at_equal_cost, measured, speed
from guide.posteriors import DiagonalNormal, Posterior
from model import MLP, Network
from training import Experiment, refuse_mistakes
from training.figures import save

Rows = dict[str, list[Result]]  # by point


class Problem(NamedTuple):
    """What estimators are compared on."""

    model: nn.Module
    guide: nn.Module
    x: torch.Tensor
    known: Known | None = None


def gradients(
    run: Path | None = None,
    *,
    estimators: str | None = None,
    particles: str = "1,5",
    replicates: int = 1000,
    oracle: str | None = None,
    points: str = "start,middle,end",
    batch: int = 16,
    steps: int = 1000,
    memory: int = 64,
    out: Path = Path("runs/gradients"),
    report: bool = False,
    trust_code: bool = False,
    **experiment,  # noqa: ANN003
) -> int:
    """Compares gradient estimators: bias, variance, signal-to-noise ratio and cost.

    Args:
        run: the folder of a run, whose checkpoint is the end; without it, a short training here.
        estimators: names, separated by commas; options after colons, as in StickingTheLanding:sampling=antithetic.
        particles: numbers of particles, separated by commas.
        replicates: gradients of every estimator at every point.
        oracle: a model of which everything is known, a class of compare/oracles, in the place of an experiment.
        points: start, middle, end, or numbers of steps, separated by commas.
        batch: how many training data the gradients are of.
        steps: of the short training.
        memory: MiB that a chunk of replicates may take, about.
        out: folder for the numbers and the pictures.
        report: also write report.html, one file with the draws in it, to be looked at in a browser.
        trust_code: let files name classes that are not this program's.
    """
    with refuse_mistakes():
        check_writable(out / "gradients.csv")
        if estimators:
            named_estimators.named(estimators, [2])  # a wrong name is said before the training, not after it
        counts = _counts(particles)
        if batch < 1 or memory < 1 or steps < 1 or replicates < 2:
            raise ValueError("batch, memory and steps are at least 1, replicates at least 2")
        if oracle:
            lab, problem, stops = None, _oracle(oracle), []
        else:
            lab = None if run else _lab(**experiment)
            device = experiment.get("device", "auto")
            lab, stops = _stops(lab, run, points, steps, device=device, trust=trust_code)
            index = torch.arange(min(batch, len(lab.dataset.train)), device=lab.device)
            problem = Problem(lab.model, lab.guide, lab.dataset.batch(index))
        subjects, words = _subjects(problem, estimators, counts)
    study = Study(subjects, known=problem.known)
    rows: Rows = {}
    for stop in stops or [None]:
        if stop:
            stop.visit(lab)
        name = stop.name if stop else oracle
        rows[name] = study.results(replicates, memory=memory * 2**20, progress=True)
    print("\n".join(words + _told(rows, problem)))
    _write(rows, out)
    print(f"{out}: gradients.csv, gradients.json, {', '.join(_draw(rows, out))}")
    if report:
        title = f"Gradient estimators on {oracle or run or 'a short training'}"
        (out / "report.html").write_text(study_page(rows, title=title, notes=words), encoding="utf-8")
        print(f"report: {out / 'report.html'}")
    return 0


def _lab(
    *,
    elbo: ELBO | None = None,
    guide: Callable[[Sequence[int], int, Network], Posterior] = DiagonalNormal,
    **experiment,  # noqa: ANN003
) -> Experiment:
    """An experiment; where its guide's draws carry no gradient and no ELBO was asked for, trained by RLOO, and said.

    Args:
        elbo: what the short training trains with; TraceMeanField_ELBO if left out.
        guide: q(z|x).
        experiment: what else Experiment takes.
    """
    if isinstance(elbo, TraceMeanField_ELBO | None) and not _drawn_pathwise(guide):
        elbo = RLOO(5)
        print("the guide's draws carry no gradient: the short training is by RLOO(5)")
    return Experiment(elbo=elbo, guide=guide, **experiment)


def _drawn_pathwise(guide: Callable[[Sequence[int], int, Network], Posterior]) -> bool:
    """Whether the draws of a guide carry a gradient, seen on data of two pixels."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        return guide((2,), 4, MLP(4))(torch.zeros(1, 2)).has_rsample


def _counts(particles: str) -> list[int]:
    found = particles.split(",")
    if not all(count.strip().isdecimal() and int(count) > 0 for count in found):
        raise ValueError(f"particles = {particles}: positive whole numbers, separated by commas")
    return sorted({int(count) for count in found})


def _oracle(name: str) -> Problem:
    if name not in oracles.__all__:
        raise ValueError(f"oracle = {name}: there are {', '.join(oracles.__all__)}")
    known = getattr(oracles, name)()
    return Problem(known.model, known.guide, known.x, known)


def _stops(
    lab: Experiment | None, run: Path | None, wanted: str, steps: int, *, device: str, trust: bool
) -> tuple[Experiment, list[TrainingPoint]]:
    """The points of training."""
    if lab is not None:
        pyro.set_rng_seed(lab.seed)
        return lab, trained_here(lab, wanted_steps(wanted, steps))
    names = [name for name in wanted.split(",") if name in ("start", "end")]
    if not names:
        raise ValueError(f"points = {wanted}: of a run there are start and end")
    lab, both = of_run(run, device, trust=trust)
    return lab, [point for point in both if point.name.split()[0] in names]


def _subjects(
    problem: Problem, estimators: str | None, counts: Sequence[int]
) -> tuple[list[ReplicatedObjective], list[str]]:
    """The estimators that were asked for, prepared, and words on those that are left out.

    Raises:
        ValueError: one that was named cannot serve the guide, or none can.
    """
    objectives, words = named_estimators.named(estimators or _fitting(problem), counts)
    subjects: dict[str, ReplicatedObjective] = {}
    bar = tqdm(objectives.items(), unit=" captured", leave=False, disable=None)
    for label, elbo in bar:
        bar.set_description(label)
        try:
            subjects[label] = _subject(label, elbo, problem)
        except ValueError as error:
            if estimators:
                raise
            words.append(f"{label.split()[0]} is left out: {error}")
    if not subjects:
        raise ValueError("; ".join(words) or "no estimators")
    return list(subjects.values()), list(dict.fromkeys(words))


def _subject(label: str, elbo: ELBO, problem: Problem) -> ReplicatedObjective:
    return ReplicatedObjective(label, elbo, problem.model, problem.guide, problem.x)


def _fitting(problem: Problem) -> str:
    with torch.no_grad():
        posteriors = Draw(problem.model, problem.guide, (problem.x,)).posteriors.values()
    return named_estimators.DISCRETE if all(map(CODES.serves, posteriors)) else named_estimators.CONTINUOUS


def _told(rows: Rows, problem: Problem) -> list[str]:
    """The table and what follows from it."""
    coordinates = next(iter(rows.values()))[0].coordinates
    lines = [f"gradients of the loss in nats per datum, {len(problem.x)} data, {coordinates} parameters", ""]
    for name, found in rows.items():
        lines += [*measured(name, found), ""]
    lines += [*at_equal_cost(rows), "", *speed(rows)]
    if problem.known is not None:
        lines += snr_slopes.told(next(iter(rows.values())))
    return lines


def _write(rows: Rows, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    plain = [{"point": name} | result.as_dict() for name, found in rows.items() for result in found]
    fitted = [slope.as_dict() for slope in snr_slopes.slopes(next(iter(rows.values())))]
    content = {"torch": torch.__version__, "threads": torch.get_num_threads(), "rows": plain, "slopes": fitted}
    (out / "gradients.json").write_text(json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")
    with (out / "gradients.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(plain[0]))
        writer.writeheader()
        writer.writerows(plain)


def _finite(value: object) -> object:
    """What JSON has no word for becomes null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _draw(rows: Rows, out: Path) -> list[str]:
    """Writes the pictures, each as PNG and SVG; their names."""
    figures = pictures.all_of(rows)
    for name, figure in figures.items():
        for ending in ("png", "svg"):
            save(figure, out / f"{name}.{ending}")
    return [f"{name}.png/.svg" for name in figures]
