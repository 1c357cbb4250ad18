"""Which of the shapes and values does a loss take, and what in its answer is the loss?"""

import re
from collections import deque
from dataclasses import replace
from typing import Any

import torch

from elbolab.auditing.probe.loss import Loss, NoTensor, Raised
from elbolab.auditing.probe.points import Layout, draw, layouts
from elbolab.auditing.probe.roles import Roles

TOTALS = ("loss", "total_loss", "total", "objective")
LARGEST = 20_000  # size that an error message is believed to ask for
# No other shape heals these.
HOPELESS = (NameError, ImportError, AttributeError, TypeError)


class Unprobeable(ValueError):
    """The loss raises, or is not finite, whatever it is given."""


def opened(loss: Loss, roles: Roles, tries: int, *, classes: bool = False) -> Layout:
    """The first shapes and values that the loss takes, and the total in what it returns.

    Raises:
        Unprobeable: there are none.
    """
    queue = deque(layouts("real" if roles.output == "logits" else "unit", tries, classes=classes))
    first, uneven, hinted = "", None, {queue[0]}
    while queue:
        layout = queue.popleft()
        try:
            if _taken(loss, layout):
                if len(layout.datum) < 2 or "data" in layout.wired or _even(loss, layout):
                    return layout
                uneven = uneven or layout
            first = first or "it is not finite"
        except NoTensor:
            raise
        except Exception as error:
            first = first or (str(error) if isinstance(error, Raised) else f"{type(error).__name__}: {error}")
            if isinstance(error.__cause__, HOPELESS):
                break
            if layout in hinted:
                said = _said(layout, str(error))
                hinted |= set(said)
                queue.extendleft(reversed(said))
    if uneven:
        return uneven
    raise Unprobeable(first)


def _taken(loss: Loss, layout: Layout) -> bool:
    """Is the loss a finite number there? Also finds the total."""
    point = draw(layout, 1)
    loss.chosen = None
    loss.chosen = _total_of(loss, layout)
    if not torch.isfinite(loss.total(point)):
        return False
    loss.gradients(point)
    # A loss that reshapes, view(-1, 784), takes four images for one; not so five.
    if "batch" not in layout.wired:
        loss.parts(draw(replace(layout, batch=layout.batch + 1), 1))
    return True


def _said(layout: Layout, message: str) -> list[Layout]:
    """The sizes that an error names: "shape '[-1, 500]' is invalid for input of size 28" asks for 500."""
    own = {layout.batch, layout.batch + 1, layout.data, layout.latent}
    own |= {n * m for n in own for m in own}
    sizes = [n for n in map(int, dict.fromkeys(re.findall(r"\d+", message))) if 1 < n <= LARGEST and n not in own]
    options = [("data", {"datum": (n,)}) for n in sizes[:3]] + [("latent", {"latent": n}) for n in sizes[:3]]
    return [replace(layout, **o, wired=layout.wired | {axis}) for axis, o in options if axis not in layout.wired]


def _even(loss: Loss, layout: Layout) -> bool:
    """Is each axis of an image reduced alike? A mean over the width and a sum over the height is a layout misread."""
    levels = []
    for axis, size in enumerate(layout.datum):
        datum = tuple(2 * n if i == axis else n for i, n in enumerate(layout.datum))
        point = draw(replace(layout, datum=datum), 1)
        flat = {"output": torch.full_like(point["output"], 0.3), "x": torch.full_like(point["x"], 1)}
        if size > 1:
            levels.append(loss.gradients(point | flat)["output"].abs().mean().item())
    return max(levels) - min(levels) <= layout.tolerance * max(levels)


def _total_of(loss: Loss, layout: Layout) -> tuple[Any, ...]:
    """The keys that make up the loss: the part that depends on both halves, or else all parts."""
    point, other = draw(layout, 1), draw(layout, 2)
    parts = loss.parts(point)
    named = [key for key in TOTALS if key in parts]
    if named or len(parts) == 1:
        return tuple(named[:1] or parts)
    halves = [{"output": other["output"]}, {slot: other[slot] for slot in ("mu", "head", "z", "eps")}]
    moved = [loss.parts(point | half) for half in halves]
    depends = {key: [not torch.equal(parts[key], m[key]) for m in moved] for key in parts}
    totals = [key for key, which in depends.items() if all(which)]
    return tuple(totals[:1] or [key for key, which in depends.items() if any(which)] or parts)
