"""Trains every estimator at one budget: python -m experiments.discrete.table --budget short.

What is trained already is left as it is, what was begun goes on from its checkpoint: start it as often as you like.
"""

import gc
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pyro
import torch
import yaml
from torch import Tensor

import train
from data import MNIST
from elbolab import evidence
from training import Experiment, Parser, RunFolder, Steps

HERE = Path(__file__).parent
PLAN = yaml.safe_load((HERE / "table.yaml").read_text())
SPLITS = cache(MNIST().splits)  # read once for all trainings


class Job(NamedTuple):
    """One training: an estimator, a seed, and how long."""

    setting: str
    estimator: str
    particles: int
    seed: int
    epochs: int
    lr: float
    out: Path

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.out / f"{self.setting}-{self.estimator}-{self.seed}")

    @property
    def options(self) -> list[str]:
        """Of train.py."""
        return [
            *("--config", str(HERE / f"{self.setting}.yaml")),
            *("--elbo", self.estimator, "--elbo.num_particles", str(self.particles)),
            *("--optimizer.lr", str(self.lr), "--epochs", str(self.epochs)),
            *("--seed", str(self.seed), "--compile", "on"),
        ]

    @property
    def result(self) -> dict[str, Any] | None:
        """What was found, if it was found after so many epochs."""
        found = self.folder.summary().get("table", {})
        return found if found.get("epochs") == self.epochs else None


def jobs(budget: str, out: Path) -> Iterator[Job]:
    """All of a budget, seed after seed, so that whenever it is stopped the estimators are equally far."""
    settings = PLAN["budgets"][budget]
    for seed in range(max(one["seeds"] for one in settings.values())):
        for setting, one in settings.items():
            if seed < one["seeds"]:
                for estimator, particles in PLAN["estimators"].items():
                    yield Job(setting, estimator, particles, seed, one["epochs"], one["lr"], out / budget)


class Timed(Steps):
    """Steps whose processor time is kept: what else runs on the machine does not count."""

    taken: list[float]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        Timed.taken = []

    def __call__(self, index: Tensor) -> None:
        start = time.process_time()
        super().__call__(index)
        Timed.taken.append(time.process_time() - start)


def trained(job: Job) -> None:
    """Trains, or goes on, and writes what the table asks into the run's summary.json."""
    with mock.patch.object(train, "Steps", Timed):
        run(job.folder, job.options)
    history = job.folder.metrics()
    found = {"epochs": job.epochs, "step": history[-1]["step"], "training_bound": -history[-1]["loss"]}
    found["test_elbo"], found["test_bound"] = judged(job.folder)
    if Timed.taken:
        found["milliseconds"] = 1e3 * statistics.median(Timed.taken)
    job.folder.summarize({"table": found})


def run(folder: RunFolder, options: list[str]) -> None:
    """train.py, from the beginning or from where it was; leaves with its code where it does not end well."""
    begun = (folder.path / "config.yaml").exists()
    with mock.patch.object(MNIST, "splits", side_effect=SPLITS):
        code = train.main([*options, "--out", str(folder.path), *(["--resume"] if begun else [])])
    if code:
        sys.exit(code)


def stages(job: Job, points: list[int]) -> dict[int, RunFolder]:
    """The run's folder as it was after so many epochs, each trained on from a copy of the one before."""
    found: dict[int, RunFolder] = {}
    before: Path | None = None
    for epochs in points:
        path = job.folder.path.with_name(f"{job.setting}-reference-{epochs}")
        if before and not path.exists():
            shutil.copytree(before, path)
        found[epochs], before = RunFolder(path), path
        rows = found[epochs].metrics()
        if not rows or rows[-1]["epoch"] < epochs:
            run(found[epochs], job._replace(epochs=epochs).options)
    return found


def judged(folder: RunFolder) -> tuple[float, float]:
    """The ELBO and the bound of many samples on test images, in nats per image."""
    with mock.patch.object(MNIST, "splits", side_effect=SPLITS):
        lab, bound = Experiment.load(folder), PLAN["bound"]
    lab.objective.eval()
    pyro.set_rng_seed(0)
    test = lab.dataset.test[:: len(lab.dataset.test) // bound["images"]]
    found = evidence(lab.model, lab.guide, test, samples=bound["samples"], compile=False)
    return found.elbo.mean().item(), found.log_evidence.mean().item()


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="experiments.discrete.table", description="Trains what docs/discrete-estimators.md shows.")
    parser.add_argument("--budget", type=str, default="short", help=f"one of {', '.join(PLAN['budgets'])}")
    parser.add_argument("--out", type=Path, default=Path("runs/discrete"), help="where the runs are")
    parser.add_argument("--seed", type=int | None, help="of this seed alone, where several processes share the work")
    parser.add_argument("--only", type=str | None, help="these estimators alone, separated by commas")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    names = options.only.split(",") if options.only else list(PLAN["estimators"])
    for job in jobs(options.budget, options.out):
        if job.estimator not in names or options.seed not in (None, job.seed):
            continue
        if job.result is None:
            trained(job)
            gc.collect()
        print(job.folder.path.name, {name: round(value, 3) for name, value in job.result.items()}, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
