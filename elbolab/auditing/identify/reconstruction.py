"""Which likelihood is the first half of a loss? Its gradient in the decoder's output is held against each family's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from elbolab.auditing.identify import unusual
from elbolab.auditing.identify.fitting import fit
from elbolab.auditing.identify.joint_likelihoods import JOINT
from elbolab.auditing.identify.likelihoods import (
    CATEGORICALS,
    CHANGES,
    FITTED,
    LIKELIHOODS,
    SLIPS,
    TAKES,
    Family,
)
from elbolab.auditing.kinds import Kind
from elbolab.auditing.probe.loss import Loss, Raised
from elbolab.auditing.probe.points import Layout, Probe, draw, one_hot

TWICE = "a sigmoid is applied twice: the decoder's output is already a probability, and the loss takes it for a logit"
MISSING = "a sigmoid is missing: the decoder's output is a logit, and the loss takes it for a probability"
CLASHES = {("probs", "logits"): TWICE, ("mean", "logits"): TWICE, ("logits", "probs"): MISSING}
UNKNOWN = "the reconstruction's gradient is that of no likelihood known here (Bernoulli, Gaussian, Laplace, ...)"
OUTPUTS = ("output", "spread", "gate")


@dataclass(frozen=True)
class Reconstruction:
    """`weight` times the family's -log p(x | output); `fault` is the kind of verdict that it forces, if any."""

    family: Family | None = None
    weight: float = 0.0
    fault: Kind | None = None
    notes: tuple[str, ...] = ()

    def value(self, layout: Layout, point: Probe) -> float:
        """-log p(x | output) summed, without the constant that families with a scale leave out."""
        assert self.family is not None
        first, *rest = (point[slot] for slot in self.family.slots)
        return self.family.nll(first, one_hot(layout, point), _axis(layout), *rest).double().sum().item()


def weigh(loss: Loss, layout: Layout, family: Family) -> tuple[float, float]:
    """The reconstruction's weight under this family, and how far the gradients are from it."""
    points = [draw(layout, seed) for seed in (1, 2, 3)]
    return _fitted(family, layout, points, [loss.gradients(p) for p in points])


def identify(loss: Loss, layout: Layout, claim: str) -> Reconstruction:
    """The likelihood; `claim` is what the decoder's output is said to be, or `output` when nobody has said."""
    points = [draw(layout, seed) for seed in (1, 2, 3)]
    found = [loss.gradients(p) for p in points]
    if not any(g["output"].any() for g in found):
        return Reconstruction(fault=Kind.NOT_ELBO, notes=("there is no reconstruction: nothing trains the decoder",))
    trained = tuple(slot for slot in OUTPUTS if slot in found[0] and any(g[slot].any() for g in found))
    for families in _families(layout, trained):
        fits = [(_fitted(family, layout, points, found), family) for family in families]
        # Among equals the one that the claim allows: two families coincide where the data are one-hot.
        (weight, apart), family = min(fits, key=lambda f: (round(f[0][1], 5), f[1].takes not in TAKES[claim]))
        if apart <= layout.tolerance:
            return _checked(loss, layout, claim, family, weight)
    wrong = unusual.explained([g["output"] for g in found], layout, points)
    if wrong:
        return Reconstruction(wrong[0], wrong[1], wrong[2], (wrong[3],))
    return Reconstruction(fault=Kind.UNKNOWN_LIKELIHOOD, notes=(UNKNOWN,))


def _families(layout: Layout, trained: tuple[str, ...]) -> Iterator[Sequence[Family]]:
    """What is tried, the most usual first; only those that take the outputs which are trained."""
    if len(trained) > 1:
        if joint := [family for family in JOINT if family.slots == trained]:
            yield joint
            for how, change in CHANGES:
                yield [family.seeing(f"the loss takes {how} for the data", change) for family in joint]
        return
    if layout.class_axis is not None:
        yield CATEGORICALS
        return
    yield (*LIKELIHOODS, *SLIPS)
    yield (FITTED,)
    for how, change in CHANGES:
        yield [family.seeing(f"the loss takes {how} for the data", change) for family in LIKELIHOODS]
        both = f"the loss takes {how} for the data and the output"
        if ">" not in how:  # a threshold has no gradient
            yield [family.seeing(both, change, of_output=True) for family in LIKELIHOODS]


def _checked(loss: Loss, layout: Layout, claim: str, family: Family, weight: float) -> Reconstruction:
    if family.mistake or family.takes not in TAKES[claim]:
        note = family.mistake or CLASHES.get(
            (claim, family.takes), f"the loss takes the decoder's {claim} for something else"
        )
        return Reconstruction(family, weight, Kind.WRONG_LIKELIHOOD, (note,))
    try:
        holds = _holds_everywhere(loss, layout, claim, family, weight)
    except Raised:  # it accepts nothing outside (0, 1): then these are no logits
        holds = True
        if family.takes == "logits" and family.name in ("bernoulli", "continuous_bernoulli"):
            return Reconstruction(family, weight, Kind.WRONG_LIKELIHOOD, (TWICE,))
    if not holds:
        note = f"{UNKNOWN}, though near 0 it looks like {family.name}"
        return Reconstruction(fault=Kind.UNKNOWN_LIKELIHOOD, notes=(note,))
    notes = (*_remarks(claim, family), *((family.note,) if family.note else ()), *_ignored(loss, layout))
    return Reconstruction(family, weight, notes=notes)


def _ignored(loss: Loss, layout: Layout) -> tuple[str, ...]:
    """Class 0, which the probes do not hold, is padding in many texts."""
    if layout.class_axis is None:
        return ()
    point = draw(layout, 1)
    try:
        idle = not loss.gradients(point | {"x": torch.zeros_like(point["x"])})["output"].nan_to_num().any()
    except Raised:
        return ()
    return ("class 0 is left out (padding)",) if idle else ()


def _remarks(claim: str, family: Family) -> tuple[str, ...]:
    if claim == "logits" and family.takes == "location":
        return ("the decoder's logits are compared with the data as they are, with no sigmoid between",)
    if claim == "output" and family.takes == "logits" and family.name != "categorical":
        return ("the loss takes logits: with a sigmoid at the decoder's end, it would be applied twice",)
    return ()


def _holds_everywhere(loss: Loss, layout: Layout, claim: str, family: Family, weight: float) -> bool:
    """A loss such as Huber's is quadratic near 0 alone, so that a real output is tried as well."""
    if layout.output == "real" or family.takes not in ("logits", "location") or claim == "probs":
        return True
    wide, apart = weigh(loss, replace(layout, output="real"), family)
    return apart == float("inf") or (apart < layout.tolerance and abs(wide / weight - 1) < layout.tolerance)


def _axis(layout: Layout) -> int:
    return -1 if layout.class_axis is None else layout.class_axis


def _fitted(
    family: Family, layout: Layout, points: Sequence[Probe], found: Sequence[dict[str, Tensor]]
) -> tuple[float, float]:
    shapes = [
        shape
        for p in points
        for shape in family.gradients([p[slot] for slot in family.slots], one_hot(layout, p), _axis(layout))
    ]
    return fit([g[slot] for g in found for slot in family.slots], shapes)
