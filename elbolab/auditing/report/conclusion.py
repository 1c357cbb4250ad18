"""From the two halves of a loss to the verdict on it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from elbolab.auditing.identify import axes, second_half
from elbolab.auditing.identify.closed_form_kl import Divergence
from elbolab.auditing.identify.likelihoods import Family
from elbolab.auditing.identify.reconstruction import Reconstruction, weigh
from elbolab.auditing.identify.size_weights import NEGLIGIBLE, REFERENCE, Monomial, Weights, measure, reduction
from elbolab.auditing.identify.student import resolved
from elbolab.auditing.kinds import Kind
from elbolab.auditing.probe.loss import Loss
from elbolab.auditing.probe.points import Layout, draw
from elbolab.auditing.probe.roles import Roles
from elbolab.auditing.report.reading import Halves, Numbers, Reading, complete, read
from elbolab.auditing.report.verdict import Verdict


def refused(kind: Kind, *notes: str) -> Verdict:
    return Verdict(kind=kind, notes=notes)


def conclude(
    loss: Loss,
    layout: Layout,
    first: Reconstruction,
    second: Divergence,
    wrong_sampler: str = "",
    written: Iterable[int] = (),
) -> Verdict:
    """The verdict; `wrong_sampler` says what is wrong with the sampler, `written` are the sizes in the code."""
    first = resolved(loss, layout, first, second)
    notes = [note for note in (*first.notes, *second.notes, wrong_sampler) if note]
    faults = {fault for fault in (first.fault, second.fault) if fault}
    faults |= {Kind.WRONG_SAMPLER} if wrong_sampler else set()
    likelihood = first.family.name if first.family else None
    if Kind.UNKNOWN_KL in faults and (first.fault or wrong_sampler or not likelihood):
        faults = faults - {Kind.UNKNOWN_KL} | {Kind.WRONG_KL}
    elif Kind.UNKNOWN_KL in faults:
        notes.append(f"the likelihood is right: {likelihood}")
    if first.fault is Kind.UNKNOWN_LIKELIHOOD and (second.fault or not second.head):
        faults.add(Kind.NOT_ELBO)
    elif first.fault is Kind.UNKNOWN_LIKELIHOOD:
        notes.append(f"the KL is right: KL(q || p) of a {second.head}")
    if first.family is None or second.weigh is None or first.fault is Kind.UNKNOWN_LIKELIHOOD:
        kind = Kind.gravest(faults) or Kind.NOT_ELBO
        takes = first.family.takes if first.family else ""
        return Verdict(kind=kind, likelihood=likelihood, head=second.head, notes=tuple(notes), takes=takes)
    numbers = _numbers(loss, layout, first, first.family, second)
    halves = Halves(layout, first, first.family, second, numbers, frozenset(written))
    if numbers.first.c < 0 or numbers.second.c < 0:
        faults.add(Kind.WRONG_SIGN)
        notes.append(_sign(numbers))
    if second.fault is Kind.OTHER_PRIOR and second.centred and not _accounted(halves):
        # A prior of another variance would have its own constant; without it, it is a slip in one of the terms.
        faults = faults - {Kind.OTHER_PRIOR} | {Kind.WRONG_KL}
        named = [note for note in notes if note not in second.notes] if second.slip else notes
        notes = [second.slip or "its constant is not that of a prior", *named]
    verdict = _stated(halves, notes, Kind.gravest(faults))
    family, of_second = first.family, second.weigh
    if verdict.is_elbo and (uneven := axes.uneven(lambda at: of_second(at) / weigh(loss, at, family)[0], layout)):
        verdict = replace(verdict, kind=Kind.WEIGHTED, notes=(uneven, *verdict.notes))
    return verdict


def alone(loss: Loss, layout: Layout, roles: Roles) -> Verdict:
    """A KL by itself: is it that of its head, and how is it reduced?"""
    second = second_half.identify(loss, layout, roles)
    notes = ("this is a KL alone: add it to a reconstruction that is summed over the data in the same way",)
    if second.fault or second.weigh is None:
        fault = Kind.WRONG_KL if second.fault in (None, Kind.UNKNOWN_KL) else second.fault
        return Verdict(kind=fault, head=second.head, notes=(*second.notes, *notes))
    of_second = second.weigh
    (weight,) = measure(lambda at: (of_second(at),), layout, 0.0)
    per_batch = {axis: p for axis, p in weight.powers.items() if axis != "batch"}
    right = not per_batch and weight.powers.get("batch", 0) in (0, -1) and abs(weight.c - 1) < NEGLIGIBLE
    kind = Kind.SCALED if weight.powers else Kind.ELBO
    if weight.c < 0:
        return Verdict(kind=Kind.WRONG_SIGN, head=second.head, notes=("this is -KL: subtract it", *notes))
    reductions = {"kl": reduction(weight, ("latent", "batch")), "beta": str(weight), "at": _at(weight)}
    return Verdict(kind=kind if right else Kind.WEIGHTED, head=second.head, reductions=reductions, notes=notes)


def _at(weight: Monomial) -> str:
    return ", ".join(f"{axis} {size}" for axis, size in (REFERENCE | dict(weight.fixed)).items())


def _numbers(loss: Loss, layout: Layout, first: Reconstruction, family: Family, second: Divergence) -> Numbers:
    assert second.weigh is not None
    of_second = second.weigh

    def weights(at: Layout) -> Weights:
        a, b = weigh(loss, at, family)[0], of_second(at)
        return a, b, _left(loss, at, first, second, (a, b), 1) if second.value else 0.0

    a, b, offset = measure(weights, layout, 4 * weigh(loss, layout, family)[1])
    pair = weights(layout)[:2]
    left = [_left(loss, layout, first, second, pair, seed) for seed in (1, 2, 3)]
    level = _level(loss, layout, first)
    varies = max(left) - min(left) > NEGLIGIBLE * level
    return Numbers(a, b, offset if max(map(abs, left)) > NEGLIGIBLE * level else Monomial(0.0), varies)


def _left(
    loss: Loss, layout: Layout, first: Reconstruction, second: Divergence, pair: tuple[float, ...], seed: int
) -> float:
    """What the loss holds beside its two terms of these weights."""
    if second.value is None:
        return 0.0
    point, (a, b) = draw(layout, seed), pair
    return loss.total(point).item() - a * first.value(layout, point) - b * second.value(point)


def _level(loss: Loss, layout: Layout, first: Reconstruction) -> float:
    """The size of the loss's terms, which a constant is small beside."""
    return max(abs(loss.total(draw(layout, 1)).item()), abs(first.weight * first.value(layout, draw(layout, 1))))


def _accounted(halves: Halves) -> bool:
    """Is nothing left beside the two terms but the likelihood's own constant?"""
    if halves.family.constant and complete(halves):
        return True
    return halves.numbers.offset.c == 0 and not halves.numbers.varies


def _sign(numbers: Numbers) -> str:
    if numbers.first.c < 0 and numbers.second.c < 0:
        return "this is the ELBO itself, to be maximised: minimise its negative"
    return "the KL is subtracted" if numbers.first.c > 0 else "the reconstruction is maximised"


@dataclass(frozen=True)
class _Said:
    """The quantities of a reading that can be said, and in words those that cannot."""

    quantities: dict[str, Monomial]
    words: tuple[str, ...]


def _said(reading: Reading, names: tuple[str, ...]) -> _Said:
    quantities = {name: getattr(reading, name) for name in names}
    found = {name: monomial for name, monomial in quantities.items() if monomial is not None}
    words = tuple(
        f"{'what is left beside the two terms' if name == 'offset' else name} changes with {' and '.join(m.odd)},"
        " by no power of it"
        for name, m in found.items()
        if m.odd
    )
    return _Said({name: monomial for name, monomial in found.items() if not monomial.odd}, words)


def _stated(halves: Halves, notes: list[str], known: Kind | None) -> Verdict:
    reading, numbers = read(halves), halves.numbers
    # What is left beside the two terms of no ELBO is no constant of anything.
    said = _said(reading, ("beta", "sigma2", "scale") if known else ("beta", "sigma2", "scale", "offset"))
    reductions = {
        "reconstruction": reduction(numbers.first, ("data", "batch")),
        "kl": reduction(numbers.second, ("latent", "batch")),
        "at": _at(numbers.first),
        **{name: str(monomial) for name, monomial in said.quantities.items()},
    }
    if numbers.varies and not known:
        notes = [*notes, "what is left beside the two terms depends on the data: it moves no gradient"]
    verdict = Verdict(
        kind=known or reading.kind,
        likelihood=halves.family.name,
        takes=halves.family.takes,
        head=halves.second.head,
        reductions=reductions,
        notes=tuple(notes)
        if known in (Kind.WRONG_KL, Kind.WRONG_LIKELIHOOD)
        else (*notes, *reading.notes, *said.words),
    )
    values = {name: monomial.value for name, monomial in said.quantities.items() if math.isfinite(monomial.value)}
    return replace(verdict, **values)  # type: ignore[arg-type]
