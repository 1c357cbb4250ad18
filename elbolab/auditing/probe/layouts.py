"""Which of the shapes and values does a loss take, and what in its answer is the loss?"""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from elbolab.auditing.probe.loss import TOTALS, Loss, NoTensor, Raised
from elbolab.auditing.probe.points import Layout, draw, layouts
from elbolab.auditing.probe.roles import Roles
from elbolab.auditing.probe.serving import Serving

LARGEST = 20_000  # size that an error message is believed to ask for
# No other shape heals these.
HOPELESS = (NameError, ImportError, AttributeError, TypeError)


class Unprobeable(ValueError):
    """The loss raises, or is not finite, whatever it is given."""


@dataclass(frozen=True)
class Shapes:
    """The shapes of a datum and of its latents, without the batch, where the caller says them."""

    x: tuple[int, ...] | None = None
    z: tuple[int, ...] | None = None

    def imposed(self, layout: Layout) -> Layout:
        if self.x is not None:
            layout = replace(layout, datum=self.x, wired=layout.wired - {"data"}, stated=layout.stated | {"data"})
        if self.z is not None:
            layout = replace(layout, latents=self.z, wired=layout.wired - {"latent"}, stated=layout.stated | {"latent"})
        return layout


def opened(
    loss: Loss, roles: Roles, tries: int, *, classes: bool = False, shapes: Shapes | None = None
) -> tuple[Loss, Layout]:
    """The first shapes and values that the loss takes, and the loss with its total chosen and its slots known.

    Raises:
        Unprobeable: there are none.
    """
    domain = "real" if roles.output == "logits" else "unit"
    queue = deque(_distinct(layouts(domain, tries, classes=classes), shapes or Shapes()))
    first, uneven, hinted = "", None, {queue[0]}
    while queue:
        layout = queue.popleft()
        if uneven and ("data" in layout.wired or layout.particles):
            continue  # a reduction that is uneven is so for an image of 28 by 28 as well, and no axis is of draws
        try:
            if chosen := taken(loss, layout):
                if len(layout.datum) < 2 or "data" in layout.wired or _even(chosen, layout) or shapes:
                    return chosen, layout
                uneven = uneven or (chosen, layout)
            first = first or "it is not finite"
        except NoTensor:
            raise
        except Raised as error:
            first = first or str(error)
            if isinstance(error.__cause__, HOPELESS):
                break
            if layout in hinted:
                said = _said(layout, str(error))
                hinted |= set(said)
                queue.extendleft(reversed(said))
    if uneven:
        return uneven
    raise Unprobeable(first)


def _distinct(found: Iterator[Layout], shapes: Shapes) -> Iterator[Layout]:
    """The layouts, of the shapes that are said, each once."""
    yield from dict.fromkeys(shapes.imposed(layout) for layout in found)


def taken(loss: Loss, layout: Layout) -> Loss | None:
    """The loss with its total found, if it is a finite number there and differentiable.

    Raises:
        Raised: the loss does.
    """
    serving = Serving(draw(layout, 1), loss.values)
    loss = replace(loss, chosen=None)
    loss.parts(serving.point, serving=serving)
    loss = replace(loss, served=loss.served | set(serving.slots))
    loss = replace(loss, chosen=_total_of(loss, layout))
    if not torch.isfinite(loss.total(serving.point)):
        return None
    try:
        loss.gradients(serving.point)
    except RuntimeError as error:  # autograd refuses what the loss did in place
        raise error if isinstance(error, Raised) else Raised(f"RuntimeError: {error}") from error
    # A loss that reshapes, view(-1, 784), takes four images for one; not so five.
    if "batch" not in layout.wired:
        loss.parts(draw(replace(layout, batch=layout.batch + 1), 1))
    return loss


def asked(loss: Loss, layout: Layout) -> Serving:
    """What the loss asks for by name, at one call."""
    serving = Serving(draw(layout, 1), loss.values)
    loss.parts(serving.point, serving=serving)
    return serving


def _said(layout: Layout, message: str) -> list[Layout]:
    """The sizes that an error names: "shape '[-1, 500]' is invalid for input of size 28" asks for 500."""
    own = {layout.batch, layout.batch + 1, layout.data, layout.latent}
    own |= {n * m for n in own for m in own}
    sizes = [n for n in map(int, dict.fromkeys(re.findall(r"\d+", message))) if 1 < n <= LARGEST and n not in own]
    options: list[tuple[str, Mapping[str, Any]]] = [("data", {"datum": (n,)}) for n in sizes[:3]]
    options += [("latent", {"latents": (n,)}) for n in sizes[:3]]
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
    usual = loss.gradients(draw(layout, 1))["output"].abs().max().item()
    if max(levels) < 1e-9 * usual:  # a softmax of equal numbers, which says nothing
        return True
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
    if "output" not in loss.slots:  # a KL alone: its total stands first
        return tuple([key for key, which in depends.items() if any(which)][:1] or parts)
    totals = [key for key, which in depends.items() if all(which)]
    return tuple(totals[:1] or [key for key, which in depends.items() if any(which)] or parts)
