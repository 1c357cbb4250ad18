"""Runs side by side: those that differ in the seed alone are one row, and what differs between rows names them."""

import csv
import io
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from training import settings
from training.run_folder import RunFolder

# What is compared; all but the last two in nats per datum.
MEASURES = {
    "loss": "-ELBO",
    "nll": "-log p(x)",
    "rate": "rate",
    "distortion": "distortion",
    "active_units": "active units",
    "perplexity": "perplexity",
}
LOWEST_IS_BEST = ("loss", "nll", "perplexity")


class Judged(NamedTuple):
    """A run with the numbers that it was judged by; those of equal `data` can be compared."""

    path: Path
    seed: int
    options: dict[str, str]
    found: dict[str, float]
    data: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Reads a run's folder.

        Raises:
            ValueError: it holds no run, or one that was not judged as it is now.
        """
        folder = RunFolder(path)
        options, summary = folder.settings(), folder.summary()
        found, how = summary.get("test"), summary.get("judged")
        if not isinstance(found, dict) or not isinstance(how, dict):
            raise ValueError(f"not judged yet: python evaluate.py {path}")
        rows = folder.metrics()
        if how.get("checkpoint") == "last" and rows and rows[-1]["step"] != how.get("step"):
            raise ValueError(f"trained further since it was judged: python evaluate.py {path}")
        chosen = {name: _short(value) for name, value in settings.of_results(options).items()}
        chosen |= {name: str(how.get(name)) for name in ("checkpoint", "samples")}
        return cls(path, int(options["seed"]), chosen, found, f"{how.get('measure')} {how.get('data')}")


class Row(NamedTuple):
    """Runs that differ in the seed alone."""

    names: dict[str, str]
    runs: list[Judged]

    def values(self, measure: str) -> list[float]:
        return [float(run.found[measure]) for run in self.runs if measure in run.found]

    def mean(self, measure: str) -> float:
        """Over the seeds; nan where it was not measured."""
        return over_seeds(self.values(measure))[0]

    def error(self, measure: str) -> float:
        """The standard error of the mean; nan for a single seed."""
        return over_seeds(self.values(measure))[1]

    @property
    def title(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.names.items()) or "all runs"


def over_seeds(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error; nan where there is no value, or one alone."""
    mean = statistics.fmean(values) if values else math.nan
    return mean, statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def compared(runs: Sequence[Judged]) -> list[list[Row]]:
    """A table for every set of test data, rows by -log p(x)."""
    tables = []
    for data in dict.fromkeys(run.data for run in runs):
        same = [run for run in runs if run.data == data]
        columns = _differing([run.options for run in same])
        rows: dict[tuple, Row] = {}
        for run in same:
            key = tuple(sorted(run.options.items()))
            names = {name: run.options.get(name, "-") for name in columns}
            rows.setdefault(key, Row(names, [])).runs.append(run)
        tables.append(sorted(rows.values(), key=lambda row: row.mean("nll")))
    return tables


def seed_twice(runs: Sequence[Judged]) -> list[tuple[Judged, Judged]]:
    """Runs that are another one again, with that other one: the same options and seed are no second seed."""
    first: dict[tuple, Judged] = {}
    return [
        (run, before)
        for run in runs
        if (before := first.setdefault((run.data, run.seed, *sorted(run.options.items())), run)) is not run
    ]


def markdown(rows: Sequence[Row]) -> str:
    """The table, its columns aligned; the lowest of each of -ELBO, -log p(x) and perplexity in bold."""
    measures = _measured(rows)
    best = {m: min(rows, key=lambda row: row.mean(m)) for m in measures if m in LOWEST_IS_BEST and len(rows) > 1}
    lines = [[*rows[0].names, "seeds", *(MEASURES[m] for m in measures)]]
    for row in rows:
        cells = [_cell(row, m) for m in measures]
        cells = [f"**{cell}**" if best.get(m) is row else cell for m, cell in zip(measures, cells, strict=True)]
        lines.append([*row.names.values(), str(len(row.runs)), *cells])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )


def as_csv(tables: Sequence[Sequence[Row]]) -> str:
    """All tables as one: mean, standard error and the runs of every row; empty where there is no number."""
    options = list(dict.fromkeys(name for rows in tables for row in rows for name in row.names))
    measures = [m for m in MEASURES if any(m in _measured(rows) for rows in tables)]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["data", *options, "seeds", *(f"{m}{end}" for m in measures for end in ("", "_error")), "runs"])
    for number, rows in enumerate(tables):
        for row in rows:
            numbers = [value for m in measures for value in (row.mean(m), row.error(m))]
            plain = ["" if math.isnan(value) else repr(value) for value in numbers]
            runs = " ".join(str(run.path) for run in row.runs)
            writer.writerow([number, *(row.names.get(name, "-") for name in options), len(row.runs), *plain, runs])
    return file.getvalue()


def _measured(rows: Sequence[Row]) -> list[str]:
    return [m for m in MEASURES if any(row.values(m) for row in rows)]


def _cell(row: Row, measure: str) -> str:
    mean, error = row.mean(measure), row.error(measure)
    if math.isnan(mean):
        return "-"
    digits = 1 if measure in ("active_units", "perplexity") else 2
    return f"{mean:.{digits}f}" + ("" if math.isnan(error) else f" ± {error:.{digits}f}")


def _short(value: object) -> str:
    """A class by its name."""
    words = str(value)
    return words.rsplit(".", 1)[-1] if all(part.isidentifier() for part in words.split(".")) else words


def _differing(options: Sequence[dict[str, str]]) -> list[str]:
    """The names of options by which runs differ; those of a part, where the part is the same and they still differ."""
    names = dict.fromkeys(name for chosen in options for name in chosen)

    def differs(name: str) -> bool:
        parts = name.split(".")
        above = [".".join(parts[:end]) for end in range(1, len(parts))]
        found: dict[tuple, set] = {}
        for chosen in options:
            found.setdefault(tuple(chosen.get(part) for part in above), set()).add(chosen.get(name))
        return any(len(values) > 1 for values in found.values())

    return [name for name in names if differs(name)]
