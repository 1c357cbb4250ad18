"""How heavy the tail of importance weights is: whether their mean can be trusted."""

import math
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

LEAST = 100  # draws: a tail of fewer than twenty says little


def installed() -> bool:
    """Whether ArviZ's statistics, which fit the tail, are there."""
    return find_spec("arviz_stats") is not None


def khat(log_weight: Tensor) -> Tensor:
    """The Pareto k of every datum's largest weights, from log weights of shape (draws, data): shape (data,), float64.

    The weights' moments of order below 1/k are finite: above 1/2 their variance is not, above 1 nor is their mean. It
    is -inf where the largest weights are all the same, as a guide that is the posterior has them. The fit is that of
    ArviZ (Vehtari, Simpson, Gelman, Yao and Gabry, 2024, Pareto Smoothed Importance Sampling, arXiv 1507.02646).

    Raises:
        ValueError: fewer than 100 draws, or arviz-stats is not installed.
    """
    if len(log_weight) < LEAST:
        raise ValueError(f"{len(log_weight)} draws are too few for a tail: {LEAST} at least")
    if not installed():
        raise ValueError("the Pareto k is fitted by ArviZ: pip install 'elbolab[diagnostics]'")
    from arviz_stats.base import array_stats

    weights = log_weight.detach().double().cpu().numpy().T
    found = np.full(len(weights), -np.inf)
    tail = math.ceil(min(0.2 * len(log_weight), 3 * len(log_weight) ** 0.5))
    largest = -np.partition(-weights, tail, axis=1)[:, : tail + 1]
    varied = np.ptp(largest, axis=1) > 1e-9  # ArviZ takes -log w, and no tail that is one number
    if varied.any():
        found[varied] = array_stats.psislw(-weights[varied])[1]
    return torch.from_numpy(found)


def largest_trusted(draws: int) -> float:
    """The k up to which the mean of so many draws can be trusted, min(1 - 1/log10(draws), 0.7); ibid., section 3."""
    return min(1 - 1 / math.log10(draws), 0.7)
