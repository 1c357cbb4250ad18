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

PALETTE = mpl.colormaps["tab10"]
MARKERS = "osD^v"


def _show(ax: Axes, datum: np.ndarray) -> None:
    """An image where the datum is one, a profile of its values where it is not."""
    ax.set_xticks([])
    ax.set_yticks([])
    if datum.ndim == 2:
        ax.imshow(datum, cmap="gray_r", interpolation="nearest", vmin=0, vmax=max(1.0, float(datum.max())))
    else:
        ax.plot(datum.reshape(-1), linewidth=0.6, color="black")


def grid(rows: Sequence[np.ndarray], labels: Sequence[str], title: str) -> Figure:
    """Rows of data, each row named at its left."""
    columns = len(rows[0])
    figure = Figure(figsize=(0.8 * columns + 1.4, 0.8 * len(rows) + 0.6), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, row, label in zip(axes, rows, labels, strict=True):
        for ax, datum in zip(line, row, strict=True):
            _show(ax, datum)
        if label:
            line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    figure.suptitle(title)
    return figure


def latent_space(codes: np.ndarray, labels: np.ndarray | None, kept: float) -> Figure:
    """Posterior means along their first two principal directions, shape (data, 2), coloured by label."""
    figure = Figure(figsize=(6, 5.2), layout="constrained")
    ax = figure.subplots()
    values = np.zeros(len(codes), int) if labels is None else labels
    size = float(np.clip(20000 / len(codes), 2, 8))
    for number, value in enumerate(np.unique(values)):
        chosen = values == value
        name = None if labels is None else str(value)
        ax.scatter(*codes[chosen].T, s=size, alpha=0.7, color=PALETTE(number % PALETTE.N), label=name)
    if labels is not None:
        ax.legend(title="label", markerscale=3, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    ax.set(xlabel="first principal direction", ylabel="second principal direction", aspect="equal")
    ax.set_title(f"posterior means of the test set\n(these two directions hold {kept:.0%} of their variance)")
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
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
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
            ax.annotate(f" {total:g}", (end, total - end), color="grey", fontsize=7, va="top")
    ax.set(xlabel="distortion: -E log p(x|z)", ylabel="rate: E[log q(z|x) - log p(z)]")
    ax.set_title(f"{title}, nats per datum\non a grey line -ELBO = distortion + rate is the same", fontsize=10)
    figure.legend(frameon=False, fontsize=8, loc="outside lower left")
    return figure
