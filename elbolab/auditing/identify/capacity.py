"""Is the loss affine in the KL? Its weight b = dL/dmu / mu is followed over ten decades of the KL."""

import math
from typing import Any

import torch
from torch import Tensor

from elbolab.auditing.heads import HEADS, kl
from elbolab.auditing.probe.loss import Loss
from elbolab.auditing.probe.points import Layout, Probe, draw

LEVELS = tuple(10.0**e for e in (-3, -2, -1, -0.5, 0, 0.5, 1, 1.5, 2))  # |mu|; the KL of a latent goes as its square


def find(loss: Loss, layout: Layout, head: str) -> str:
    """Where the weight changes, and whether a datum, a latent or the whole batch decides; nothing if it is constant."""
    weights = [_weight(loss, layout, head, level) for level in LEVELS]
    top = max(abs(w) for w in weights)
    steps = [i for i, (a, b) in enumerate(zip(weights, weights[1:], strict=False)) if _differ(a, b, top, layout)]
    if not steps:
        return ""
    if len(steps) > 1:
        return "the KL enters through a curve: its weight changes with its size"
    i = steps[0]
    kink = _kink(loss, layout, head, LEVELS[i], LEVELS[i + 1], weights[i])
    who, factor = _decider(loss, layout, head, weights[i], weights[i + 1])
    return f"{_shape(weights[i], weights[i + 1])} {factor * kink:.4g} nats {who}"


def _shape(below: float, above: float) -> str:
    if abs(above) < 1e-3 * abs(below):
        return "the KL is cut off: it costs nothing beyond"
    ratio = below / above
    if abs(ratio) < 1e-3:
        return "free bits: the KL costs nothing up to"
    if abs(ratio + 1) < 1e-3:
        return "|KL - C|: the KL is pulled towards the capacity C ="
    return f"the KL weighs {ratio:.4g} times as much up to"


def _differ(a: float, b: float, top: float, layout: Layout) -> bool:
    return not abs(a - b) <= 10 * layout.tolerance * top


def _point(layout: Layout, head: str, sizes: Tensor | float) -> Probe:
    """Every latent with |mu| of this size and a head near the neutral one, so that all have the same KL."""
    p = draw(layout, 7)
    sizes = torch.as_tensor(sizes, dtype=layout.dtype).expand(p["mu"].shape)
    neutral = HEADS[head].neutral
    return p | {"mu": p["mu"].sign() * sizes, "head": neutral + 0.3 * sizes.clamp(max=1)}


def _weight(loss: Loss, layout: Layout, head: str, size: float) -> float:
    p = _point(layout, head, size)
    return (loss.gradients(p)["mu"] / p["mu"]).double().mean().item()


def _kink(loss: Loss, layout: Layout, head: str, low: float, high: float, below: float) -> float:
    """The KL of one latent where the weight leaves `below`."""
    for _ in range(40):
        middle = math.sqrt(low * high)
        same = not _differ(_weight(loss, layout, head, middle), below, max(abs(below), 1e-12), layout)
        low, high = (middle, high) if same else (low, middle)
    p = _point(layout, head, low)
    return kl(head, p["mu"], p["head"]).double().mean().item()


def _decider(loss: Loss, layout: Layout, head: str, below: float, above: float) -> tuple[str, int]:
    """One latent of one datum has a large KL, all others none: whose weight is the upper one?"""
    sizes = torch.full((*layout.lead, *layout.latents), LEVELS[0], dtype=torch.float64)
    first = (0,) * sizes.dim()
    sizes[first] = LEVELS[-1]
    p = _point(layout, head, sizes)
    weights = (loss.gradients(p)["mu"] / p["mu"]).double()
    upper = (weights - above).abs() < 1e-3 * max(abs(above), abs(below))
    if upper.all():
        return "per datum, averaged over the batch", layout.latent
    if upper[0].all():
        return "per datum", layout.latent
    column: Any = (slice(None), *first[1:])
    if upper[column].all():
        return "per latent, averaged over the batch", 1
    return "per latent and datum", 1
