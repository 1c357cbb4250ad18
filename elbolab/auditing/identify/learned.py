"""A scale that the loss learns itself: is its normaliser counted once for every number of the data?"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from elbolab.auditing.identify.closed_form_kl import Divergence
from elbolab.auditing.identify.likelihoods import Family
from elbolab.auditing.identify.reconstruction import Reconstruction, weigh
from elbolab.auditing.probe.loss import Loss
from elbolab.auditing.probe.points import Layout, draw

_MOVE = 0.4
_EXACT = 1e-3  # of one count; single precision leaves about 1e-5


def fault(
    loss: Loss, layout: Layout, first: Reconstruction, second: Divergence, learned: Mapping[str, Tensor]
) -> tuple[bool, str]:
    """Whether a parameter that moves the reconstruction's weight is wrong, and what it is; nothing, where none does.

    With a weight w(s) of squared error the density has -n/2 log w(s) beside it, over n numbers; what the loss really
    has beside its two terms is seen by moving s.
    """
    if first.family is None or second.weigh is None:
        return False, ""
    said = ""
    scale = second.weigh(layout)
    for name, value in learned.items():
        before = _measured(loss, layout, first, first.family)
        with moved(value):
            after = _measured(loss, layout, first, first.family)
        if abs(after[0] / before[0] - 1) < _EXACT:
            continue
        if first.family.constant is None:
            return True, (
                f"`{name}` is learned and weighs a {first.family.name} likelihood, which has no scale: what it learns"
                " is to leave the reconstruction out"
            )
        apart = first.family.constant(1 / after[0]) - first.family.constant(1 / before[0])
        counted = (after[1] - before[1]) / (scale * draw(layout, 1)["x"].numel() * apart)
        if abs(counted) < _EXACT:
            return True, f"`{name}` is learned, and its own term (log sigma) is missing: sigma grows without bound"
        if abs(counted - 1) > _EXACT:
            return True, (
                f"`{name}` is learned, and its own term (log sigma) is there {counted:.4g} times for every number of"
                f" the data instead of once, or the KL has the weight {1 / counted:.4g}"
            )
        said = f"`{name}` is a scale that is learned, with its own term; the numbers here are for its present value"
    return False, said


@contextmanager
def moved(value: Tensor) -> Iterator[None]:
    """All entries of a parameter a bit larger."""
    kept = value.detach().clone()
    with torch.no_grad():
        value += _MOVE
    try:
        yield
    finally:
        with torch.no_grad():
            value.copy_(kept)


def _measured(loss: Loss, layout: Layout, first: Reconstruction, family: Family) -> tuple[float, float]:
    """The reconstruction's weight, and what the loss is without it at one point."""
    fresh, point = replace(loss), draw(layout, 1)  # a new one: gradients are remembered
    weight = weigh(fresh, layout, family)[0]
    return weight, fresh.total(point).item() - weight * first.value(layout, point)
