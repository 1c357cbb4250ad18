"""Running moments of gradients that are too many to keep, and how far two means are apart."""

import math
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from scipy import stats
from torch import Tensor

_student_t: Any = vars(stats)["t"]  # SciPy makes it at run time, where no type checker sees it
FALSE_ALARM = 1e-5  # probability that a true statistical claim fails
_DIRECTIONS = 32
# What two float computations of the same number may differ by, relative to the largest number among their like.
ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-5}


class Moments:
    """Mean and sum of squared deviations of every coordinate, in float64, of gradients that come chunk by chunk.

    Chunks are merged as in *Chan, Golub and LeVeque, 1983, Algorithms for Computing the Sample Variance*.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: dict[str, Tensor] = {}
        self._squares: dict[str, Tensor] = {}
        self._centre: dict[str, Tensor] = {}  # the first chunk's mean
        self._distances: dict[str, list[Tensor]] = {}  # of every replicate to that, squared
        self._projections: list[Tensor] = []  # of every replicate, shape (replicates, directions)
        self.rounding = ROUNDING[torch.float64]

    def add(self, gradients: Mapping[str, Tensor]) -> None:
        """Takes in gradients of shape (replicates, *parameter) by the parameters' names."""
        more = len(next(iter(gradients.values())))
        total = self.count + more
        self._projections.append(torch.stack([_project(name, chunk) for name, chunk in gradients.items()]).sum(0))
        for name, chunk in gradients.items():
            self.rounding = max(self.rounding, ROUNDING.get(chunk.dtype, 1e-2))
            # Two passes in the chunk's own precision: deviations from its mean are small, and as exact as they are.
            centre = chunk.mean(0)
            squares = (chunk - centre).square_().sum(0).double()
            mean = self._mean.setdefault(name, torch.zeros_like(squares))
            apart = centre.double() - mean
            self._mean[name] = mean + apart * (more / total)
            away = chunk - self._centre.setdefault(name, centre)
            self._distances.setdefault(name, []).append(away.square_().reshape(more, -1).sum(1).double())
            before = self._squares.get(name, 0.0)
            self._squares[name] = before + squares + apart.square() * (self.count * more / total)
        self.count = total

    @property
    def names(self) -> list[str]:
        return list(self._mean)

    def mean(self, name: str) -> Tensor:
        return self._mean[name]

    def variance(self, name: str) -> Tensor:
        return self._squares[name] / max(self.count - 1, 1)

    def total_variance(self, group: str = "") -> float:
        """The sum over all coordinates of parameters whose names begin so: the trace of their covariance."""
        return math.fsum(self.variance(name).sum().item() for name in self._mean if name.startswith(group))

    def variance_error(self, group: str = "") -> float:
        """The standard error of `total_variance`, a mean of squared distances."""
        found = [torch.cat(rows) for name, rows in self._distances.items() if name.startswith(group)]
        return (torch.stack(found).sum(0).std() / self.count**0.5).item() if found and self.count > 1 else 0.0

    def projections(self) -> Tensor:
        """Every replicate's products with random signs for all coordinates: shape (replicates, directions)."""
        return torch.cat(self._projections)

    def signal_to_noise(self, group: str, signal: Mapping[str, Tensor] | None = None) -> float:
        """The mean over coordinates that vary of |E g| / sd g (*Rainforth et al., 2018*); nan where none does.

        Without a known signal E g is the mean of n replicates, and no ratio is seen below about sqrt(2 / (pi n)).
        """
        ratios = []
        for name in self._mean:
            if name.startswith(group):
                mean = (self._mean if signal is None else signal)[name].abs().flatten()
                deviation = self.variance(name).sqrt().flatten()
                varies = deviation > self.rounding * self._mean[name].abs().flatten()
                ratios.append(mean[varies] / deviation[varies])
        found = torch.cat(ratios) if ratios else torch.zeros(0)
        return found.mean().item() if len(found) else math.nan


def worst_score(moments: Moments, known: Mapping[str, Tensor] | Moments) -> tuple[float, float]:
    """The largest |z| over coordinates of a mean against its exact value or another mean, and its bound (Bonferroni).

    The errors of both means count. A difference that rounding explains is none; any other in a coordinate that does
    not vary is infinite.
    """
    other = known if isinstance(known, Moments) else None
    expected = {name: _value(known, name) for name in moments.names}
    scale = max((value.abs().max().item() for value in expected.values()), default=0.0)
    count = min(moments.count, other.count) if other else moments.count
    worst = 0.0
    for name, value in expected.items():
        squared = moments.variance(name) / moments.count
        if other:
            squared = squared + other.variance(name) / other.count
        off = ((moments.mean(name) - value).abs() - moments.rounding * scale).clamp(min=0)
        score = torch.where(off > 0, off / squared.sqrt(), 0.0)
        worst = max(worst, score.nan_to_num(nan=math.inf, posinf=math.inf).max().item())
    coordinates = sum(value.numel() for value in expected.values())
    return worst, float(_student_t.isf(FALSE_ALARM / 2 / max(coordinates, 1), max(count - 1, 1)))


def _value(known: Mapping[str, Tensor] | Moments, name: str) -> Tensor:
    return known.mean(name) if isinstance(known, Moments) else known[name]


def joint_score(moments: Moments, known: Mapping[str, Tensor] | Moments) -> tuple[float, float]:
    """The largest |z| over a few random projections of a mean's difference to another, and its bound (Bonferroni).

    The variance of a projection takes in how coordinates vary together, and the bound does not grow with their number,
    as that for the largest coordinate does. Rounding is treated as in `worst_score`.
    """
    own = moments.projections()
    squared = own.var(0) / len(own)
    if isinstance(known, Moments):
        other = known.projections()
        expected, values = other.mean(0), [known.mean(name) for name in known.names]
        squared, count = squared + other.var(0) / len(other), min(len(own), len(other))
    else:
        values, count = [known[name] for name in moments.names], len(own)
        expected = torch.stack([_project(name, known[name][None])[0] for name in moments.names]).sum(0)
    size = max(value.abs().max().item() for value in values) * sum(value.numel() for value in values) ** 0.5
    off = ((own.mean(0) - expected).abs() - moments.rounding * size).clamp(min=0)
    score = torch.where(off > 0, off / squared.sqrt(), 0.0).nan_to_num(nan=math.inf, posinf=math.inf)
    return score.max().item(), float(_student_t.isf(FALSE_ALARM / 2 / _DIRECTIONS, max(count - 1, 1)))


def _project(name: str, gradients: Tensor) -> Tensor:
    """Products of gradients (replicates, *parameter) with random signs, the same for a parameter wherever it is met."""
    rows = gradients.reshape(len(gradients), -1)
    return (rows @ _signs(name, rows.shape[1]).to(rows)).double()


@lru_cache(maxsize=32)
def _signs(name: str, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.randint(0, 2, (count, _DIRECTIONS), generator=generator, dtype=torch.int8) * 2 - 1
