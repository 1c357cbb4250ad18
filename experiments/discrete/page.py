"""Writes the tables of docs/discrete-estimators.md from the runs: python -m experiments.discrete.page.

The numbers are kept in results.json beside this file; with --collect they are read from the runs first.
"""

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import elbolab
from experiments.discrete.table import HERE, jobs
from experiments.pages import rendered
from experiments.tables import markdown, within
from training import Parser
from training.comparison.table import over_seeds

PAGE = HERE.parent.parent / "docs" / "discrete-estimators.md"
# Shi et al. (2022, 2202.09497), read off the figure of MNIST: by decoder evaluations and estimator.
PUBLISHED = {
    ("2", "RODEO"): 1.07e-2,
    ("2", "DoubleCV"): 1.33e-2,
    ("2", "DisARM"): 1.36e-2,
    ("2", "RELAX"): 1.09e-2,
    ("3", "RODEO"): 6.8e-3,
    ("3", "DoubleCV"): 7.4e-3,
    ("3", "ARMS"): 7.8e-3,
}
RESULTS = HERE / "results.json"


def collected(out: Path, budget: str) -> dict[str, Any]:
    """What there is of a budget's runs, by estimator, seed after seed."""
    trainings: dict[str, list[dict[str, Any]]] = {}
    for job in jobs(budget, out):
        if job.setting == "linear" and job.result is not None:
            trainings.setdefault(job.estimator, []).append(job.result)
    found: dict[str, Any] = {"budget": budget, "trainings": trainings}
    for name in ("bias", "variance"):
        part = out / name / f"{name}.json"
        if part.exists():
            found[name] = json.loads(part.read_text())
    return found


def trainings(found: dict[str, Any]) -> str:
    """One row an estimator: bounds in nats, with standard errors over seeds."""
    rows = found["trainings"]
    best = sorted(rows, key=lambda name: -fmean(one["test_bound"] for one in rows[name]))
    body = []
    for name in best:
        one = rows[name]
        bounds = [mean_and_error([r[key] for r in one]) for key in ("training_bound", "test_elbo", "test_bound")]
        times = fmean(r["milliseconds"] for r in one if "milliseconds" in r)
        body.append([marked(name), str(len(one)), *bounds, f"{times:.1f}"])
    head = ["estimator", "seeds", "training bound", "test ELBO", "test bound, 100 samples", "ms per step"]
    return markdown(head, body)


def biases(found: dict[str, Any]) -> str:
    """Bias in per cent of the exact gradient, and what training by it loses in nats."""
    plan = found["bias"]
    reference = plan["elbo"][plan["reference"]]
    points = plan["bias"]
    body = []
    for name, elbos in plan["elbo"].items():
        shares = [f"{100 * off:.1f} ± {100 * error:.1f}" for off, error in (one[name] for one in points.values())]
        lost = [a - b for a, b in zip(reference, elbos, strict=False)]
        told = "-" if name == plan["reference"] or not lost else mean_and_error(lost)
        body.append([marked(name), *shares, mean_and_error(elbos) if elbos else "-", told])
    after = [f"bias after {point} epochs, %" for point in points]
    return markdown(["estimator", *after, "test ELBO", f"less than by {plan['reference']}"], body)


def variances(found: dict[str, Any]) -> str:
    """Variance of the guide's gradient as a multiple of the reference's, with its standard error."""
    plan = found["variance"]
    points = plan["variance"]
    body = []
    for evaluations, particles in plan["estimators"].items():
        for name in particles:
            cells = []
            for point in points.values():
                variance, error = point[evaluations][name]
                against, its = point["2"][plan["reference"]]
                ratio = variance / against
                spread = ratio * math.hypot(error / variance, 0 if name == plan["reference"] else its / against)
                cells.append(f"{ratio:.3f} ± {spread:.3f}")
            published = PUBLISHED.get((str(evaluations), name))
            told = "-" if published is None else f"{published / PUBLISHED['2', plan['reference']]:.2f}"
            body.append([name, str(evaluations), *cells, told])
    after = [f"after {point} epochs" for point in points]
    return markdown(["estimator", "decoder evaluations", *after, "published, after 1,000,000 steps"], body)


def marked(name: str) -> str:
    """Biased estimators have a star."""
    return f"{name}" if getattr(elbolab, name).unbiased else f"{name} *"


def mean_and_error(values: Sequence[float]) -> str:
    """The mean and its standard error over seeds."""
    return within(*over_seeds(values))


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "trainings": trainings,
    "bias": biases,
    "variance": variances,
}


def written(page: str, found: dict[str, Any]) -> str:
    """The page with the tables of what was found anew."""
    return rendered(page, found, {name: table for name, table in TABLES.items() if name in found})


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="experiments.discrete.page", description="Writes the tables of docs/discrete-estimators.md.")
    parser.add_argument("--collect", action="store_true", help="read the runs first")
    parser.add_argument("--budget", type=str, default="short", help="whose runs")
    parser.add_argument("--out", type=Path, default=Path("runs/discrete"), help="where the runs are")
    options = parser.parse_args(argv)
    if options.collect:
        RESULTS.write_text(json.dumps(collected(options.out, options.budget), indent=1) + "\n")
    PAGE.write_text(written(PAGE.read_text(), json.loads(RESULTS.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
