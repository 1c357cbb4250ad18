"""From the two halves of a loss to the verdict on it."""

import math
from dataclasses import dataclass

from elbolab.auditing.identify.closed_form_kl import Divergence
from elbolab.auditing.identify.reconstruction import Reconstruction, weigh
from elbolab.auditing.identify.size_weights import NEGLIGIBLE, REFERENCE, Monomial, Weights, measure, reduction
from elbolab.auditing.probe.loss import Loss
from elbolab.auditing.probe.points import Layout, draw
from elbolab.auditing.report.verdict import Verdict

# What a loss is refused for, the gravest first.
FAULTS = ("not_elbo", "wrong_likelihood", "wrong_kl", "wrong_sign", "other_prior", "capacity", "wrong_sampler")


@dataclass(frozen=True)
class Numbers:
    """The weights of both halves, and what is left, as monomials of the sizes."""

    first: Monomial
    second: Monomial
    offset: Monomial
    varies: bool  # what is left is no constant: it depends on the data

    @property
    def beta(self) -> Monomial:
        return self.second / self.first


def refused(kind: str, *notes: str) -> Verdict:
    return Verdict(kind=kind, notes=notes)


def conclude(loss: Loss, layout: Layout, first: Reconstruction, second: Divergence, wrong_sampler: str = "") -> Verdict:
    """The verdict; `wrong_sampler` says what is wrong with the sampler, if anything is."""
    notes = [note for note in (*first.notes, *second.notes, wrong_sampler) if note]
    faults = {first.fault, second.fault, "wrong_sampler" if wrong_sampler else ""}
    likelihood = first.family.name if first.family else None
    if first.family is None or second.weigh is None:
        kind = next(fault for fault in FAULTS if fault in faults)
        return Verdict(kind=kind, likelihood=likelihood, head=second.head, notes=tuple(notes))
    numbers = _numbers(loss, layout, first, second)
    if numbers.first.c < 0 or numbers.second.c < 0:
        faults.add("wrong_sign")
        notes.append(_sign(numbers))
    if second.fault == "other_prior" and second.centred and not _accounted(layout, first, second, numbers):
        # A prior of another variance would have its own constant; without it, it is a slip in one of the terms.
        faults = faults - {"other_prior"} | {"wrong_kl"}
        notes = [second.slip or "its constant is not that of a prior", *notes]
    known = next((fault for fault in FAULTS if fault in faults), "")
    return _stated(layout, first, second, numbers, notes, known)


def _numbers(loss: Loss, layout: Layout, first: Reconstruction, second: Divergence) -> Numbers:
    def weights(at: Layout) -> Weights:
        a, b = weigh(loss, at, first.family)[0], second.weigh(at)
        return a, b, _left(loss, at, first, second, a, b, seed=1) if second.value else 0.0

    a, b, offset = measure(weights, layout, 4 * weigh(loss, layout, first.family)[1])
    left = [_left(loss, layout, first, second, *weights(layout)[:2], seed=seed) for seed in (1, 2, 3)]
    level = _level(loss, layout, first)
    varies = max(left) - min(left) > NEGLIGIBLE * level
    return Numbers(a, b, offset if max(map(abs, left)) > NEGLIGIBLE * level else Monomial(0.0), varies)


def _left(
    loss: Loss, layout: Layout, first: Reconstruction, second: Divergence, a: float, b: float, seed: int
) -> float:
    """What the loss holds beside its two terms."""
    if second.value is None:
        return 0.0
    point = draw(layout, seed)
    return loss.total(point).item() - a * first.value(layout, point) - b * second.value(point)


def _level(loss: Loss, layout: Layout, first: Reconstruction) -> float:
    """The size of the loss's terms, which a constant is small beside."""
    return max(abs(loss.total(draw(layout, 1)).item()), abs(first.weight * first.value(layout, draw(layout, 1))))


def _accounted(layout: Layout, first: Reconstruction, second: Divergence, numbers: Numbers) -> bool:
    """Is nothing left beside the two terms but the likelihood's own constant?"""
    if first.family.constant and _complete(layout, first, second, numbers):
        return True
    return numbers.offset.c == 0 and not numbers.varies


def _sign(numbers: Numbers) -> str:
    if numbers.first.c < 0 and numbers.second.c < 0:
        return "this is the ELBO itself, to be maximised: minimise its negative"
    return "the KL is subtracted" if numbers.first.c > 0 else "the reconstruction is maximised"


@dataclass(frozen=True)
class Reading:
    """A kind, and the quantities that belong to it; monomials where they depend on the sizes."""

    kind: str
    beta: Monomial | None = None
    sigma2: Monomial | None = None
    scale: Monomial | None = None
    offset: Monomial | None = None
    notes: tuple[str, ...] = ()


def _stated(
    layout: Layout, first: Reconstruction, second: Divergence, numbers: Numbers, notes: list[str], known: str
) -> Verdict:
    read = _squared if first.family.constant else _plain
    reading = read(layout, first, second, numbers)
    # What is left beside the two terms of no ELBO is no constant of anything.
    names = ("beta", "sigma2", "scale") if known else ("beta", "sigma2", "scale", "offset")
    if known and not (numbers.first.whole and numbers.second.whole):
        # A weight that grows with no whole power of any size is the weight of nothing.
        return Verdict(kind=known, likelihood=first.family.name, head=second.head, notes=tuple(notes))
    quantities = {name: getattr(reading, name) for name in names}
    said = {name: monomial for name, monomial in quantities.items() if monomial is not None}
    sizes = REFERENCE | dict(numbers.first.fixed)
    reductions = {
        "reconstruction": reduction(numbers.first, ("data", "batch")),
        "kl": reduction(numbers.second, ("latent", "batch")),
        "at": ", ".join(f"{axis} {size}" for axis, size in sizes.items()),
        **{name: str(monomial) for name, monomial in said.items()},
    }
    if numbers.varies and not known:
        notes = [*notes, "what is left beside the two terms depends on the data: it moves no gradient"]
    return Verdict(
        kind=known or reading.kind,
        likelihood=first.family.name,
        head=second.head,
        reductions=reductions,
        notes=(*notes, *reading.notes),
        **{name: monomial.value for name, monomial in said.items()},
    )


def _plain(layout: Layout, first: Reconstruction, second: Divergence, numbers: Numbers) -> Reading:
    """A likelihood without a scale: the ratio of the weights is beta."""
    beta, size = numbers.beta.pinned()
    notes = (f"a size of {size} numbers per datum is written into the loss",) if size else ()
    if "batch" in beta.powers:
        notes += ("beta depends on the batch's size: a last, smaller batch is weighted otherwise",)
    unit = beta.is_one
    shifted = numbers.offset.c != 0 or numbers.varies
    exact = numbers.first.is_one
    kind = "shifted" if shifted else "sampled_kl" if second.form != "analytic" else "elbo" if exact else "scaled"
    if unit:
        notes += _units(numbers.first)
    return Reading(kind if unit else "weighted", beta, None, numbers.first, numbers.offset, notes)


def _units(scale: Monomial) -> tuple[str, ...]:
    """What a value of the loss means."""
    if scale.powers.get("batch", 0) > 0:
        return ("every datum is counted batch times: two shapes, (batch,) and (batch, 1), are broadcast",)
    said = {"1": "nats, summed over the batch", "1 / batch": "nats per datum"}
    said["1 / (batch * data)"] = "nats per number of the data (per pixel)"
    return (f"units: {said[str(scale)]}",) if str(scale) in said else ()


def _squared(layout: Layout, first: Reconstruction, second: Divergence, numbers: Numbers) -> Reading:
    """A family with a scale. With its constant, both the scale and beta are seen; without, their product alone."""
    complete = _complete(layout, first, second, numbers)
    if complete:
        return complete
    product = numbers.beta  # sigma2 beta, or the Laplace scale times beta
    constant = first.family.constant(product.value) if product.value > 0 else math.nan
    if first.family.name == "gaussian":
        notes = (
            f"only sigma2 beta is seen: sigma2 = {product} at beta 1; the constant 1/2 log(2 pi sigma2) ="
            f" {constant:.4g} nats per number of the data is dropped",
            *([_too_wide(product.value)] if product.value > 0.25 else []),
        )
        return Reading("gaussian", None, product, numbers.second, None, notes)
    unit = product.is_one
    dropped = (
        f"or a Laplace of scale {product} at beta 1; its constant log(2 scale) = {constant:.4g} nats per number of the"
        " data is dropped"
    )
    return Reading("shifted" if unit else "weighted", product, None, numbers.first, numbers.offset, (dropped,))


def _too_wide(sigma2: float) -> str:
    return f"sigma2 = {sigma2:.4g} is more than the variance of " + (
        "any data in [0, 1] (0.25 at most) and of standardised data (1): the KL is likely to win (posterior collapse)"
        if sigma2 > 1
        else "any data in [0, 1] (0.25 at most)"
    )


def _complete(layout: Layout, first: Reconstruction, second: Divergence, numbers: Numbers) -> Reading | None:
    """The constant is there: then the scale of the loss is 1 up to the reductions, or beta is 1."""
    sizes = {"batch": layout.batch, "data": layout.data, "latent": layout.latent}
    count = draw(layout, 1)["output"].numel()
    plain = Monomial(1.0, numbers.first.powers, numbers.first.fixed)
    for scale in (plain, numbers.second):
        spread = scale / numbers.first
        at = scale.at(sizes)
        if not spread.constant or spread.c <= 0:
            continue
        expected = at * count * first.family.constant(spread.c)
        if abs(expected) < 1e-3 or abs(numbers.offset.at(sizes) - expected) > 10 * NEGLIGIBLE * abs(expected):
            continue
        beta = numbers.second / scale
        kind = "sampled_kl" if second.form != "analytic" else "elbo" if scale.is_one else "scaled"
        return Reading(kind if beta.is_one else "weighted", beta, spread, scale, Monomial(0.0), _units(scale))
    return None
