"""Pictures of a run. Everything here takes plain arrays: what to draw is decided by who calls."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from data.files import replacing
from training.cells import Cell, shortened

PALETTE = mpl.colormaps["tab10"]
MARKERS = "osD^v"
_CLASSES = 20  # more labels than these are numbers along a scale


def _show(ax: Axes, datum: np.ndarray, cell: Cell) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    cell.draw(ax, datum)


def grid(
    rows: Sequence[np.ndarray], cell: Cell, title: str, *, labels: Sequence[str] = (), heads: Sequence[str] = ()
) -> Figure:
    """Rows of data, each row named at its left, each column above it."""
    columns, (width, height) = len(rows[0]), cell.size
    aside = 1.4 if any(labels) else 0.3
    figure = Figure(
        figsize=(width * columns + aside, height * len(rows) + (0.9 if heads else 0.6)), layout="constrained"
    )
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        for ax, datum in zip(line, row, strict=True):
            _show(ax, datum, cell)
    for line, label in zip(axes, labels, strict=bool(labels)):
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    for ax, head in zip(axes[0], heads, strict=bool(heads)):
        ax.set_title(head, fontsize=8)
    figure.suptitle(title)
    return figure


def codes(data: Sequence[np.ndarray], heads: Sequence[str], cell: Cell, title: str) -> Figure:
    """One datum for every code, with what is said of the code above it, in lines of ten."""
    width, height = cell.size
    columns = min(len(data), max(1, round(10 * 0.8 / width)))
    lines = -(-len(data) // columns)
    # A title may be wider than few codes.
    figure = Figure(figsize=(max(4.8, 1.15 * width * columns), (height + 0.5) * lines + 0.8), layout="constrained")
    for ax, i in zip(figure.subplots(lines, columns, squeeze=False).flat, range(lines * columns), strict=True):
        if i < len(data):
            _show(ax, data[i], cell)
            ax.set_title(heads[i], fontsize=6.5)
        else:
            ax.set_axis_off()
    figure.suptitle(title, fontsize=10)
    return figure


class Labels:
    """Which data have which colour: a class each, with its name, or a scale of numbers."""

    def __init__(self, values: np.ndarray | None, names: Sequence[str] | None, count: int) -> None:
        self.values = np.zeros(count, int) if values is None else values
        self.found = np.unique(self.values)
        self.classes = values is not None and len(self.found) <= _CLASSES
        self.scale = values is not None and not self.classes
        self._names = names
        self._colours = PALETTE if len(self.found) <= PALETTE.N else mpl.colormaps["tab20"]

    def name(self, value: float) -> str:
        return f"{value:g}" if self._names is None else shortened(self._names[int(value)])

    def scatter(self, ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
        """Draws points and says what their colours mean."""
        size = float(np.clip(20000 / len(x), 2, 8))
        if self.scale:
            points = ax.scatter(x, y, s=size, alpha=0.7, c=self.values, cmap="viridis")
            ax.figure.colorbar(points, ax=ax, label="label")
            return
        for number, value in enumerate(self.found):
            own = self.values == value
            name = self.name(value) if self.classes else None
            ax.scatter(x[own], y[own], s=size, alpha=0.7, color=self._colours(number % self._colours.N), label=name)
        if self.classes:
            ax.legend(markerscale=3, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)


def latent_space(codes: np.ndarray, labels: Labels, kept: float | None) -> Figure:
    """Posterior means, shape (data, 2), coloured by label.

    Args:
        codes: along their first two principal directions, or both latents themselves.
        labels: the colours.
        kept: which share of their variance the two directions hold; None for the latents themselves.
    """
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    ax = figure.subplots()
    labels.scatter(ax, *codes.T)
    names = ("z[0]", "z[1]") if kept is None else ("first principal direction", "second principal direction")
    ax.set(xlabel=names[0], ylabel=names[1])
    if kept is not None:
        ax.set_aspect("equal", adjustable="datalim")
    more = "" if kept is None else f"\n(these two directions hold {kept:.0%} of their variance)"
    ax.set_title(f"posterior means of the test set{more}", fontsize=11)
    return figure


def latent_line(codes: np.ndarray, labels: Labels, at: np.ndarray, data: np.ndarray, cell: Cell) -> Figure:
    """A latent of one dimension: the posterior means, a row for every label, over the data that z = `at` decode to."""
    figure = Figure(figsize=(max(8.0, cell.size[0] * len(at)), 4.4), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(3, 1))
    ax = top.subplots()
    rows = np.searchsorted(labels.found, labels.values) if labels.classes else np.zeros(len(codes))
    jitter = np.random.default_rng(0).uniform(-0.35, 0.35, len(codes))
    labels.scatter(ax, codes, rows + jitter)
    if ax.get_legend():
        ax.get_legend().remove()  # the rows' names say it
    names = [labels.name(value) for value in labels.found] if labels.classes else []
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="z", title="posterior means of the test set; below, the mean of p(x|z) along z")
    for axes, z, datum in zip(bottom.subplots(1, len(at), squeeze=False)[0], at, data, strict=True):
        _show(axes, datum, cell)
        axes.set_title(f"z = {z:.2g}", fontsize=8)
    return figure


def top_columns(panels: Sequence[tuple[str, Sequence[str], np.ndarray]], title: str, axis: str) -> Figure:
    """A panel for every latent: its name, and the columns that it moves most, with by how much, as bars."""
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    longest = max(len(names) for _, names, _ in panels)
    figure = Figure(figsize=(max(7.2, 3.0 * columns + 0.4), (0.17 * longest + 0.5) * lines + 0.8), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True).flat
    for ax, (name, names, values) in zip(axes, panels, strict=False):
        places = np.arange(len(names))[::-1]
        ax.barh(places, values, color=[PALETTE(0 if value >= 0 else 3) for value in values])
        ax.set_yticks(places, [shortened(column) for column in names], fontsize=7)
        ax.axvline(0, color="black", linewidth=0.6)
        ax.tick_params(axis="x", labelsize=7, labelbottom=True)
        ax.set_title(name, fontsize=9)
    for ax in list(figure.axes)[len(panels) :]:
        ax.set_axis_off()
    figure.suptitle(title, fontsize=11)
    figure.supxlabel(axis, fontsize=9)
    return figure


def curves(metrics: Sequence[dict[str, Any]], split: str) -> Figure:
    """The loss along training, and the rate and distortion of the split that it was judged on."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in metrics]
    marker = "o" if len(epochs) == 1 else None
    left.plot(epochs, [row["loss"] for row in metrics], label="training loss", marker=marker)
    left.plot(epochs, [row[f"{split}_loss"] for row in metrics], label=f"{split} -ELBO", marker=marker)
    left.set(xlabel="epoch", ylabel="nats per datum", title="loss")
    right.plot(
        epochs, [row[f"{split}_distortion"] for row in metrics], label="distortion: -E log p(x|z)", marker=marker
    )
    right.plot(epochs, [row[f"{split}_rate"] for row in metrics], label="rate: E[log q(z|x) - log p(z)]", marker=marker)
    right.set(xlabel="epoch", ylabel="nats per datum", title=f"{split} -ELBO = distortion + rate")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.legend(frameon=False)
        ax.grid(alpha=0.3)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a picture, in the format of its ending, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        figure.savefig(file, dpi=150, format=path.suffix.removeprefix("."))


def rate_distortion(rows: Sequence[tuple[str, Sequence[float], Sequence[float]]], title: str) -> Figure:
    """Models in the plane of distortion and rate, in nats per datum: a name, its distortions and its rates.

    Lines are of equal -ELBO = distortion + rate (Alemi et al., 2018, Fixing a Broken ELBO).
    """
    figure = Figure(figsize=(6.4, 5.6 + 0.2 * len(rows)), layout="constrained")
    ax = figure.subplots()
    for number, (name, distortions, rates) in enumerate(rows):
        colour = PALETTE(number % PALETTE.N)
        marker = MARKERS[number // PALETTE.N % len(MARKERS)]
        ax.scatter(distortions, rates, s=14, alpha=0.5, color=colour, marker=marker)
        ax.scatter(np.mean(distortions), np.mean(rates), s=60, color=colour, marker=marker, label=name)
    ax.margins(0.15)
    ax.autoscale(False)
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    for total in MaxNLocator(8).tick_values(left + low, right + high):
        if left + low < total < right + high:
            ax.axline((total - low, low), slope=-1, color="grey", linewidth=0.6, alpha=0.6, zorder=0)
            end = max(left, total - high)  # where it leaves the picture at the left or the top
            place = {"xytext": (3, -3), "textcoords": "offset points", "va": "top"}
            ax.annotate(f"{total:g}", (end, total - end), color="grey", fontsize=7, **place)
    ax.set(xlabel="distortion: -E log p(x|z)", ylabel="rate: E[log q(z|x) - log p(z)]")
    ax.set_title(f"{title}, nats per datum\non a grey line -ELBO = distortion + rate is the same", fontsize=10)
    figure.legend(frameon=False, fontsize=8, loc="outside lower left")
    return figure
