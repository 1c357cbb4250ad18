"""Single gradients as points in a plane: the two coordinates that vary most."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from elbolab.studying.moments import Moments

Coordinate = tuple[str, int]  # a parameter's name, and a flat index into it


class Cloud(NamedTuple):
    """The draws, shape (replicates, 2), nats per datum; and where their mean ought to lie."""

    coordinates: tuple[str, str]
    draws: np.ndarray
    mark: tuple[float, ...]  # the exact gradient there, or the reference's mean; empty where there is neither
    exact: bool


def most_varying(pilot: Moments) -> list[Coordinate]:
    """The two coordinates of most variance, of all parameters; the same one twice where there is only one."""
    largest = []
    for name in pilot.names:
        values = pilot.variance(name).flatten()
        found = values.topk(min(2, len(values)))
        largest += [(v.item(), name, int(i)) for v, i in zip(found.values, found.indices, strict=True)]
    best = sorted(largest, reverse=True)[:2]
    return [(name, index) for _, name, index in (best if len(best) == 2 else best * 2)]


def columns(gradients: Mapping[str, Tensor], coordinates: list[Coordinate]) -> np.ndarray:
    """Of gradients (replicates, *parameter), these coordinates, shape (replicates, coordinates)."""
    found = [gradients[name].reshape(len(gradients[name]), -1)[:, index] for name, index in coordinates]
    return torch.stack(found, 1).double().cpu().numpy()


def mark(reference: Mapping[str, Tensor] | Moments | None, coordinates: list[Coordinate]) -> tuple[float, ...]:
    """A known gradient, or the mean of another estimator's, at these coordinates."""
    if reference is None:
        return ()
    means = ((reference.mean(n) if isinstance(reference, Moments) else reference[n], i) for n, i in coordinates)
    return tuple(value.flatten()[i].item() for value, i in means)


def named(coordinate: Coordinate, shape: torch.Size) -> str:
    """As in guide.encoder.weight[3, 5]."""
    name, index = coordinate
    return name + str([int(i) for i in np.unravel_index(index, shape)])
