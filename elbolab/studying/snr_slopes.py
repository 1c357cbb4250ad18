"""How signal-to-noise ratios go with the number of particles: the exponent, from a line on logarithmic axes."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from elbolab.studying.result import Result


@dataclass(frozen=True, kw_only=True)
class Slope:
    """log10 SNR per decade of K, least squares over all K, and its standard error.

    sqrt(K) is 0.5 and 1 / sqrt(K) is -0.5 (*Rainforth et al., 2018, Tighter Variational Bounds are Not Necessarily
    Better*).
    """

    estimator: str
    group: str
    slope: float
    error: float
    particles: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def family(result: Result) -> str:
    """The estimator and its options, whatever the number of particles."""
    return result.label.removesuffix(f" K={result.particles}")


def slopes(results: Sequence[Result]) -> list[Slope]:
    """One for every estimator with three numbers of particles or more, for the model's parameters and the guide's."""
    found = []
    for name in dict.fromkeys(map(family, results)):
        for group in ("model", "guide"):
            ratios = {r.particles: getattr(r, f"snr_{group}") for r in results if family(r) == name}
            ratios = {k: ratio for k, ratio in ratios.items() if math.isfinite(ratio) and ratio > 0}
            if len(ratios) < 3:
                continue
            line = stats.linregress(np.log10(list(ratios)), np.log10(list(ratios.values())))
            found.append(
                Slope(
                    estimator=name,
                    group=group,
                    slope=float(line.slope),
                    error=float(line.stderr),
                    particles=tuple(ratios),
                )
            )
    return found


def told(results: Sequence[Result]) -> list[str]:
    """The slopes as lines of text; none where there are too few K."""
    found = slopes(results)
    if not found:
        return []
    lines = ["", "log10 signal-to-noise ratio per decade of K: sqrt(K) is +0.5, 1/sqrt(K) is -0.5"]
    for slope in found:
        counts = ", ".join(map(str, slope.particles))
        lines.append(f"   {slope.estimator:30}{slope.group:8}{slope.slope:+.3f} +- {slope.error:.3f}   K = {counts}")
    return lines
