"""Are all axes of a datum, and of its latents, reduced alike?

A mean over the frames of a video beside a sum over its pixels is not.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from elbolab.auditing.probe.loss import NoTensor, Raised
from elbolab.auditing.probe.points import Layout

OTHERWISE = "and not over the other axes:"
Ratio = Callable[[Layout], float]
_NAMES = {
    "datum": {2: ("steps", "n"), 3: ("channels", "height", "width"), 4: ("frames", "channels", "height", "width")},
    "latents": {2: ("steps", "n"), 3: ("channels", "height", "width")},
}


def uneven(ratio: Ratio, layout: Layout) -> str:
    """Which axis changes the KL's weight over the reconstruction's otherwise than the others; nothing if none does."""
    for field, wired in (("datum", "data"), ("latents", "latent")):
        shape: tuple[int, ...] = getattr(layout, field)
        if len(shape) < 2 or wired in layout.wired:
            continue
        grown = {i: _grown(ratio, layout, field, i) for i in range(len(shape))}
        factors = {i: factor for i, factor in grown.items() if factor is not None}
        usual = sorted(factors.values())[len(factors) // 2] if factors else 1.0
        for i, factor in factors.items():
            if abs(factor / usual - 1) > 1e-3:
                names = _NAMES[field].get(len(shape), ())
                return _said(names[i] if names else f"axis {i + 1}", field, factor / usual)
    return ""


def _said(axis: str, field: str, factor: float) -> str:
    term, whose, averaged = ("reconstruction", "data", 2.0) if field == "datum" else ("KL", "latents", 0.5)
    if abs(factor / averaged - 1) < 1e-3:
        return f"the {term} is a mean over the {axis} of the {whose} {OTHERWISE} sum over all of them"
    return f"the KL's weight changes with the {axis} of the {whose} {OTHERWISE} reduce over all of them alike"


def _grown(ratio: Ratio, layout: Layout, field: str, axis: int) -> float | None:
    """The factor of the ratio where this axis is twice as long; None where the loss does not take it."""
    shape = tuple(2 * n if i == axis else n for i, n in enumerate(getattr(layout, field)))
    try:
        longer: dict[str, Any] = {field: shape}
        return ratio(replace(layout, **longer)) / ratio(layout)
    except (Raised, NoTensor, ZeroDivisionError):
        return None
