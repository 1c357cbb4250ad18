"""README and docs/results.md: the tables between their marks, and the picture, written anew from what was kept."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments import kept
from experiments.tables import BETAS, PRIORS, TABLES
from training import figures

ROOT = kept.HERE.parent
PAGES = (ROOT / "README.md", ROOT / "docs/results.md")
PICTURE = ROOT / "docs/rate-distortion.png"
MARKED = re.compile(r"(<!-- table (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rendered(page: str, results: Any, tables: Mapping[str, Callable[[Any], str]] = TABLES) -> str:  # noqa: ANN401
    """A page with what stands between its marks `<!-- table NAME -->` and `<!-- end -->` written anew.

    A table that is not among `tables` is left as it stands.
    """

    def table(found: re.Match[str]) -> str:
        write = tables.get(found["name"])
        return f"{found[1]}{write(results)}\n{found[3]}" if write else found[0]

    return MARKED.sub(table, page)


def write() -> list[Path]:
    """Writes the pages and the picture; returns which."""
    results = kept.load()
    for path in PAGES:
        path.write_text(rendered(path.read_text(), results))
    return [*PAGES, *picture(results)]


def picture(results: Mapping) -> list[Path]:
    """The rate-distortion curves by beta, one per prior (Alemi et al., 2018, arXiv 1711.00464)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, label in PRIORS.items():
        points = [results.get(f"rate-{name}-{beta}") for beta in BETAS]
        if not all(points):
            return []
        rates = [[record.test["rate"] for record in records] for records in points if records]
        distortions = [[record.test["distortion"] for record in records] for records in points if records]
        axes.plot([sum(r) / len(r) for r in rates], [sum(d) / len(d) for d in distortions], "o-", ms=4, label=label)
    axes.set_xlabel("rate, nats per datum")
    axes.set_ylabel("distortion, nats per datum")
    axes.set_title(f"Digits, test data, beta = {', '.join(BETAS)} from right to left", fontsize=10)
    axes.legend(frameon=False)
    figures.save(figure, PICTURE)
    return [PICTURE]
