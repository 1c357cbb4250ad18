"""What the weights of both halves come to: a kind, and the quantities that belong to it."""

import math
from dataclasses import dataclass

from elbolab.auditing.identify.closed_form_kl import Divergence
from elbolab.auditing.identify.likelihoods import Family
from elbolab.auditing.identify.reconstruction import Reconstruction
from elbolab.auditing.identify.size_weights import NEGLIGIBLE, Monomial
from elbolab.auditing.kinds import Kind
from elbolab.auditing.probe.points import Layout, draw


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


@dataclass(frozen=True)
class Halves:
    """All that is known of a loss when it is read."""

    layout: Layout
    first: Reconstruction
    family: Family
    second: Divergence
    numbers: Numbers
    written: frozenset[int]  # whole numbers in the code


@dataclass(frozen=True)
class Reading:
    """A kind, and the quantities that belong to it; monomials where they depend on the sizes."""

    kind: Kind
    beta: Monomial | None = None
    sigma2: Monomial | None = None
    scale: Monomial | None = None
    offset: Monomial | None = None
    notes: tuple[str, ...] = ()


def read(halves: Halves) -> Reading:
    return _squared(halves) if halves.family.constant else _plain(halves)


def _fixed(pins: dict[str, int]) -> tuple[str, ...]:
    return tuple(f"exact where {axis} = {size}, which the code fixes" for axis, size in pins.items())


def _batch(beta: Monomial) -> tuple[str, ...]:
    """A batch's size that is written in is right for full batches alone."""
    if "batch" not in beta.powers:
        return ()
    size = (1 / beta.c) if beta.powers == {"batch": 1} and 0 < beta.c < 1 else 0.0
    exact = f"; exact where batch = {round(size)}" if size and abs(size - round(size)) < 1e-6 * size else ""
    return (f"beta depends on the batch's size: a last, smaller batch is weighted differently{exact}",)


def _plain(halves: Halves) -> Reading:
    """A likelihood without a scale: the ratio of the weights is beta."""
    numbers = halves.numbers
    beta, pins = numbers.beta.pinned(halves.written)
    notes = (*_fixed(pins), *_batch(beta))
    shifted = numbers.offset.c != 0 or numbers.varies
    exact = Kind.ELBO if numbers.first.is_one else Kind.SCALED
    kind = Kind.SHIFTED if shifted else Kind.SAMPLED_KL if halves.second.form != "analytic" else exact
    if beta.is_one:
        notes = (*notes, *_units(numbers.first))
    return Reading(kind if beta.is_one else Kind.WEIGHTED, beta, None, numbers.first, numbers.offset, notes)


def _units(scale: Monomial) -> tuple[str, ...]:
    """What a value of the loss means."""
    if scale.powers.get("batch", 0) > 0:
        return ("every datum is counted batch times: two shapes, (batch,) and (batch, 1), are broadcast",)
    said = {"1": "nats, summed over the batch", "1 / batch": "nats per datum"}
    said["1 / (batch * data)"] = "nats per number of the data (per pixel)"
    return (f"units: {said[str(scale)]}",) if str(scale) in said else ()


def _squared(halves: Halves) -> Reading:
    """A family with a scale. With its constant, both the scale and beta are seen; without, their product alone."""
    if found := complete(halves):
        return found
    numbers, family = halves.numbers, halves.family
    # 1/2 is left where squared error is not halved.
    product, pins = numbers.beta.pinned(halves.written, (1.0, 0.5))  # sigma2 beta, or the Laplace scale times beta
    assert family.constant is not None
    constant = family.constant(product.value) if product.value > 0 else math.nan
    if family.name == "gaussian":
        notes = (
            *_fixed(pins),
            *_batch(product),
            f"only sigma2 beta is seen: sigma2 = {product} at beta 1; the constant 1/2 log(2 pi sigma2) ="
            f" {constant:.4g} nats per number of the data is dropped",
            *([_too_wide(product.value)] if product.value > 0.25 else []),
        )
        # A variance that grows with a size is no likelihood's: it is the slip that weighs a cross-entropy's KL too.
        kind = Kind.GAUSSIAN if product.constant else Kind.WEIGHTED
        return Reading(kind, None, product, numbers.second, None, notes)
    dropped = (
        *_fixed(pins),
        *_batch(product),
        f"only scale times beta is seen: a {family.name.capitalize()} of scale {product} at beta 1; its constant"
        f" {constant:.4g} nats per number of the data is dropped",
    )
    kind = Kind.SHIFTED if product.is_one else Kind.WEIGHTED
    return Reading(kind, product, None, numbers.first, numbers.offset, dropped)


def _too_wide(sigma2: float) -> str:
    return f"sigma2 = {sigma2:.4g} is more than the variance of " + (
        "any data in [0, 1] (0.25 at most) and of standardised data (1): the KL is likely to win (posterior collapse)"
        if sigma2 > 1
        else "any data in [0, 1] (0.25 at most)"
    )


def complete(halves: Halves) -> Reading | None:
    """The constant is there: then the scale of the loss is 1 up to the reductions, or beta is 1."""
    layout, numbers, constant = halves.layout, halves.numbers, halves.family.constant
    assert constant is not None
    count = draw(layout, 1)["output"].numel()
    plain = Monomial(1.0, numbers.first.powers, numbers.first.fixed)
    for scale in (plain, numbers.second):
        spread = scale / numbers.first
        at = scale.at(layout.sizes)
        if not spread.constant or spread.c <= 0:
            continue
        expected = at * count * constant(spread.c)
        left = numbers.offset.at(layout.sizes)
        # A scale of 1/2, or a variance of 1 / (2 pi), has the constant 0.
        nothing = abs(constant(spread.c)) < 1e-9 and not left
        if not nothing and (abs(expected) < 1e-3 or abs(left - expected) > 10 * NEGLIGIBLE * abs(expected)):
            continue
        beta, pins = (numbers.second / scale).pinned(halves.written)
        exact = Kind.ELBO if scale.is_one else Kind.SCALED
        kind = Kind.SAMPLED_KL if halves.second.form != "analytic" else exact
        notes = (*_fixed(pins), *_batch(beta), *_units(scale))
        if halves.family.name != "gaussian":
            notes, sigma2 = (f"a {halves.family.name.capitalize()} of scale {spread}", *notes), None
        else:
            sigma2 = spread
        return Reading(kind if beta.is_one else Kind.WEIGHTED, beta, sigma2, scale, Monomial(0.0), notes)
    return None
