"""One factor, or several, between gradients that are found and gradients that are expected."""

from collections.abc import Sequence

import torch
from torch import Tensor


def fit(found: Sequence[Tensor], shapes: Sequence[Tensor]) -> tuple[float, float]:
    """The factor between two lists of gradients, and the largest relative deviation from it; inf for nan."""
    g, s = (flat(side) for side in (found, shapes))
    factor = (g @ s) / (s @ s)
    apart = (g - factor * s).abs().max() / g.abs().max()
    return (factor.item(), apart.item()) if torch.isfinite(apart) else (0.0, float("inf"))


def fit_sum(found: Sequence[Tensor], columns: Sequence[Sequence[Tensor]]) -> tuple[list[float], float]:
    """The factors of a sum of several, and the largest relative deviation from it; inf for nan."""
    g, matrix = flat(found), torch.stack([flat(column) for column in columns], 1)
    if not torch.isfinite(matrix).all():
        return [0.0] * len(columns), float("inf")
    factors = torch.linalg.lstsq(matrix, g).solution
    return factors.tolist(), ((g - matrix @ factors).abs().max() / g.abs().max()).item()


def flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([t.double().flatten() for t in tensors])
