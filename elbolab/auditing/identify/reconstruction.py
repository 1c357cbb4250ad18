"""Which likelihood is the first half of a loss? Its gradient in the decoder's output is held against each family's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from elbolab.auditing.heads import plain
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
LEFT_OUT = (
    "data that are {value} are left out, so that the decoder learns nothing there: an ELBO only if {value} marks"
    " missing data"
)
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


def identify(loss: Loss, layout: Layout, claim: str, name: str = "") -> Reconstruction:
    """The likelihood; `claim` is what the decoder's output is said to be, or `output` when nobody has said.

    `name` is what the output is called, where that may say something else than what the loss takes it for.
    """
    return _named(_identified(loss, layout, claim), name)


def _named(first: Reconstruction, name: str) -> Reconstruction:
    """A rate is not its logarithm: Poisson losses take either, by a switch that is easily forgotten."""
    if first.fault or first.family is None or first.family.name != "poisson" or "rate" not in plain(name):
        return first
    states = "logits" if "log" in plain(name) else "rate"
    if first.family.takes == states:
        return first
    taken, meant = ("log-rate", "rate") if states == "rate" else ("rate", "log-rate")
    choice = f"if it is one, rename it and the loss is right; if it is a {meant}, it is wrong"
    note = f"`{name}` is taken for a {taken}: {choice}"
    return replace(first, fault=Kind.WRONG_LIKELIHOOD, notes=(note,))


def _identified(loss: Loss, layout: Layout, claim: str) -> Reconstruction:
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
    if chosen := _choosy(loss, layout, family, weight):
        return Reconstruction(family, weight, Kind.WRONG_LIKELIHOOD, (chosen,))
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


def _choosy(loss: Loss, layout: Layout, family: Family, weight: float) -> str:
    """Data lie strictly between 0 and 1 in the other probes: here they are exactly 0 or 1, as black and white are."""
    if layout.class_axis is not None or len(family.slots) > 1:
        return ""
    try:
        points = [draw(replace(layout, target="binary"), seed) for seed in (1, 2)]
        found = [loss.gradients(p) for p in points]
        there, apart = _fitted(family, layout, points, found)
    except Raised:
        return ""
    if apart == float("inf") or (apart < layout.tolerance and abs(there / weight - 1) < layout.tolerance):
        return ""
    for value in (0, 1):
        gone = [g["output"][p["x"].reshape(g["output"].shape) == value] for g, p in zip(found, points, strict=True)]
        if not any(g.any() for g in gone):
            return LEFT_OUT.format(value=value)
    return "data that are exactly 0 or 1 weigh otherwise than data between"


def _remarks(claim: str, family: Family) -> tuple[str, ...]:
    if claim == "logits" and family.takes == "location":
        return ("the decoder's logits are compared with the data as they are, with no sigmoid between",)
    if claim == "output" and family.takes == "logits" and family.name == "poisson":
        return ("the loss takes log-rates: with an exp or a softplus at the decoder's end, it would be applied twice",)
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
