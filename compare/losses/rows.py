"""One checked number: what is claimed, both sides, how far they are apart and how far they may be."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from elbolab.studying.moments import FALSE_ALARM

EXACT = 1e-10  # relative, in float64


@dataclass(frozen=True, kw_only=True)
class Row:
    """`apart` is compared with `bound`; `measure` says what it is: a relative difference or a z-score."""

    step: str
    left: str
    right: str
    left_value: float
    right_value: float
    measure: str
    apart: float
    bound: float
    note: str = ""

    @property
    def holds(self) -> bool:
        return self.apart <= self.bound  # written so that a nan fails

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"holds": self.holds}


def relative(a: Tensor, b: Tensor) -> float:
    """max |a - b| / max(|a|, |b|), 0 where both vanish."""
    size = torch.maximum(a.abs().max(), b.abs().max())
    return ((a - b).abs().max() / size).item() if size != 0 else 0.0


def equal(step: str, left: str, right: str, a: Tensor, b: Tensor, *, bound: float = EXACT, note: str = "") -> Row:
    """Both sides are the same number, or the same numbers; then their means are shown."""
    values = a.mean().item(), b.mean().item()
    return Row(
        step=step,
        left=left,
        right=right,
        left_value=values[0],
        right_value=values[1],
        measure="relative",
        apart=relative(a, b),
        bound=bound,
        note=note,
    )


def same_mean(step: str, left: str, right: str, a: Tensor, b: Tensor | float, *, note: str = "") -> Row:
    """Draws a of shape (n,) have the mean b, or the mean of draws b: Welch's z-score against its two-sided bound."""
    variance = a.var() / len(a)
    mean = b
    if isinstance(b, Tensor):
        variance, mean = variance + b.var() / len(b), b.mean().item()
    score = ((a.mean() - mean) / variance.sqrt()).abs().item()
    return Row(
        step=step,
        left=left,
        right=right,
        left_value=a.mean().item(),
        right_value=float(mean),
        measure="z",
        apart=score,
        bound=float(stats.t.isf(FALSE_ALARM / 2, len(a) - 1)),
        note=note or f"standard error {variance.sqrt().item():.2g}",
    )
