"""Writes the tables of docs/discrete-estimators.md from the runs: python -m experiments.discrete.page.

The numbers are kept in results.json beside this file; with --collect they are read from the runs first.
"""

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import elbolab
from experiments.discrete.table import HERE, jobs
from training import Parser

PAGE = HERE.parent.parent / "docs" / "discrete-estimators.md"
RESULTS = HERE / "results.json"


def collected(out: Path, budget: str) -> dict[str, Any]:
    """What there is of a budget's runs, by estimator, seed after seed."""
    trainings: dict[str, list[dict[str, Any]]] = {}
    for job in jobs(budget, out):
        if job.setting == "linear" and job.result is not None:
            trainings.setdefault(job.estimator, []).append(job.result)
    found: dict[str, Any] = {"budget": budget, "trainings": trainings}
    bias = out / "bias" / "bias.json"
    if bias.exists():
        found["bias"] = json.loads(bias.read_text())
    return found


def trainings(found: dict[str, Any]) -> list[str]:
    """One row an estimator: bounds in nats, with standard errors over seeds."""
    rows = found["trainings"]
    best = sorted(rows, key=lambda name: -fmean(one["test_bound"] for one in rows[name]))
    lines = [
        "| estimator | seeds | training bound | test ELBO | test bound, 100 samples | ms per step |",
        "|---|---|---|---|---|---|",
    ]
    for name in best:
        one = rows[name]
        bounds = [mean_and_error([r[key] for r in one]) for key in ("training_bound", "test_elbo", "test_bound")]
        times = fmean(r["milliseconds"] for r in one if "milliseconds" in r)
        lines.append(f"| {marked(name)} | {len(one)} | {' | '.join(bounds)} | {times:.1f} |")
    return lines


def biases(found: dict[str, Any]) -> list[str]:
    """Bias in per cent of the exact gradient, and what training by it loses in nats."""
    plan = found["bias"]
    reference = plan["elbo"][plan["reference"]]
    points = plan["bias"]
    lines = ["| estimator | " + " | ".join(f"bias after {point} epochs, %" for point in points)]
    lines[0] += f" | test ELBO | less than by {plan['reference']} |"
    lines.append("|---" * (len(points) + 3) + "|")
    for name, elbos in plan["elbo"].items():
        shares = [f"{100 * off:.1f} ± {100 * error:.1f}" for off, error in (one[name] for one in points.values())]
        lost = [a - b for a, b in zip(reference, elbos, strict=False)]
        told = "-" if name == plan["reference"] or not lost else mean_and_error(lost)
        lines.append(f"| {marked(name)} | {' | '.join(shares)} | {mean_and_error(elbos) if elbos else '-'} | {told} |")
    return lines


def marked(name: str) -> str:
    """Biased estimators have a star."""
    return f"{name}" if getattr(elbolab, name).unbiased else f"{name} *"


def mean_and_error(values: Sequence[float]) -> str:
    """The mean and its standard error over seeds."""
    error = f" ± {stdev(values) / len(values) ** 0.5:.2f}" if len(values) > 1 else ""
    return f"{fmean(values):.2f}{error}"


TABLES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "trainings": trainings,
    "bias": biases,
}


def written(page: str, found: dict[str, Any]) -> str:
    """The page with every table between its two marks anew."""
    for name, table in TABLES.items():
        if name in found:
            marks = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
            page = marks.sub(lambda m, lines=table(found): m[1] + "\n".join(lines) + m[2], page)
    return page


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
