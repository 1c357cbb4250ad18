"""How one datum is drawn: as an image, as the words or columns that it is high in, or as a profile of its values."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes

_WORDS = 6


class Cell(Protocol):
    """Draws a datum into axes of about `size` inches, width and height."""

    size: tuple[float, float]

    def draw(self, ax: Axes, datum: np.ndarray) -> None: ...


class Image:
    """Grey levels, (height, width), or colours, (3, height, width); other channels side by side."""

    size = (0.8, 0.8)

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def draw(self, ax: Axes, datum: np.ndarray) -> None:
        if datum.ndim == 3 and len(datum) == 3:
            colours = (np.moveaxis(datum, 0, -1) - self.low) / (self.high - self.low)
            ax.imshow(colours.clip(0, 1), interpolation="nearest")
        else:
            grey = datum if datum.ndim == 2 else np.concatenate(list(datum), axis=-1)
            ax.imshow(grey, cmap="gray_r", interpolation="nearest", vmin=self.low, vmax=self.high)


class Profile:
    """The values in their order."""

    size = (0.8, 0.8)

    def __init__(self, low: float, high: float) -> None:
        self.limits = low - 0.05 * (high - low), high + 0.05 * (high - low)

    def draw(self, ax: Axes, datum: np.ndarray) -> None:
        ax.plot(datum.reshape(-1), linewidth=0.6, color="black")
        low, high = self.limits
        ax.set_ylim(min(low, float(datum.min())), max(high, float(datum.max())))


class Columns:
    """The columns in which a datum is highest, with their values; where values can be negative, farthest from the mean.

    `mean` and `deviation` are each column's; few columns are all shown, in their order.
    """

    size = (1.6, 1.0)

    def __init__(self, names: Sequence[str], mean: np.ndarray, deviation: np.ndarray, *, counts: bool) -> None:
        self.names, self.mean, self.deviation, self.counts = names, mean, deviation, counts

    def draw(self, ax: Axes, datum: np.ndarray) -> None:
        far = datum if self.counts else np.abs(datum - self.mean) / self.deviation
        first = range(len(datum)) if len(datum) <= _WORDS else np.argsort(-far, kind="stable")[:_WORDS]
        told = [f"{shortened(self.names[i])} {datum[i]:.3g}" for i in first if datum[i] or not self.counts]
        ax.text(0.04, 0.95, "\n".join(told), transform=ax.transAxes, fontsize=6.5, va="top", clip_on=True)


def shortened(name: str, longest: int = 18) -> str:
    """A name that fits into a picture."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def cell(data: np.ndarray, columns: Sequence[str] | None) -> Cell:
    """The one that suits these data, shape (count, *datum)."""
    if columns is not None and data.ndim == 2:
        deviation = np.where(data.std(0) > 0, data.std(0), 1.0)
        return Columns(columns, data.mean(0), deviation, counts=bool(data.min() >= 0))
    low, high = min(0.0, float(data.min())), max(1.0, float(data.max()))
    return Image(low, high) if data.ndim in (3, 4) else Profile(low, high)
