"""Reconstructions that are no single likelihood, and what they are instead."""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from elbolab.auditing.identify.fitting import fit, fit_sum
from elbolab.auditing.identify.likelihoods import HALVES, LIKELIHOODS, Family
from elbolab.auditing.kinds import Kind
from elbolab.auditing.probe.points import Layout, Probe, one_hot

Explained = tuple[Family | None, float, Kind, str]
_PENALTIES = (
    Family(name="penalty on the output's square", takes="location", nll=lambda o, *_: 0.5 * o**2),
    Family(name="penalty on the output's size", takes="location", nll=lambda o, *_: o.abs()),
)


def explained(found: Sequence[Tensor], layout: Layout, points: Sequence[Probe]) -> Explained | None:
    """The first that fits the gradients in the decoder's output."""
    if layout.class_axis is not None:
        return _smoothed(found, layout, points)
    for explanation in (_weighted_halves, _of_squared_error, _student, _pixel_by_pixel, _of_two):
        if said := explanation(found, layout, points):
            return said
    return None


def _gradients(family: Family, layout: Layout, points: Sequence[Probe]) -> list[Tensor]:
    axis = -1 if layout.class_axis is None else layout.class_axis
    return [family.gradients([p["output"]], one_hot(layout, p), axis)[0] for p in points]


def _weighted_halves(found: Sequence[Tensor], layout: Layout, points: Sequence[Probe]) -> Explained | None:
    """Cross-entropy with unequal weights of ones and zeros: w x log p + v (1 - x) log(1 - p)."""
    for takes, (of_ones, of_zeros) in HALVES.items():
        halves = [
            Family(name="bernoulli", takes=takes, nll=lambda o, x, _, half=half: half(o, x))
            for half in (of_ones, of_zeros)
        ]
        (ones, zeros), apart = fit_sum(found, [_gradients(half, layout, points) for half in halves])
        if apart < layout.tolerance:
            note = f"ones weigh {ones / zeros:.4g} times as much as zeros: no Bernoulli likelihood is weighted so"
            return halves[0], zeros, Kind.WRONG_LIKELIHOOD, note
    return None


def _of_squared_error(found: Sequence[Tensor], layout: Layout, points: Sequence[Probe]) -> Explained | None:
    """The gradient is (output - x) with a factor that depends on the error: its root, its logarithm, ..."""
    errors = [p["output"].double() - one_hot(layout, p).double() for p in points]
    fits = [fit([g], [e]) for g, e in zip(found, errors, strict=True)]
    if max(apart for _, apart in fits) > layout.tolerance:
        return None
    note = "the reconstruction is a function of the squared error, such as its root, and no log-likelihood"
    return None, 0.0, Kind.NOT_ELBO, note


def _student(found: Sequence[Tensor], layout: Layout, points: Sequence[Probe]) -> Explained | None:
    """Student's t of unknown degrees of freedom: g = c e / (k + e^2), so that g e^2 = c e - k g."""
    errors = [p["output"].double() - one_hot(layout, p).double() for p in points]
    targets = [g.double() * e**2 for g, e in zip(found, errors, strict=True)]
    (c, k), apart = fit_sum(targets, [errors, [-g for g in found]])
    if apart > layout.tolerance or k <= 0 or c <= 0:
        return None
    family = Family(
        name="student_t", takes="location", nll=lambda o, x, _: 0.5 * (1 + (o - x) ** 2 / k).log() * k, shape=k
    )
    note = (
        f"Student's t with degrees of freedom times squared scale = {k:.4g}; without the constant of its density, the"
        " degrees of freedom and the KL's weight are not told apart"
    )
    return family, c / k, Kind.UNKNOWN_LIKELIHOOD, note


def _pixel_by_pixel(found: Sequence[Tensor], layout: Layout, points: Sequence[Probe]) -> Explained | None:
    """A known likelihood with a weight of its own for every element."""
    g = torch.stack([t.double().flatten(1) for t in found]).flatten(0, 1)
    for family in LIKELIHOODS:
        s = torch.stack([t.double().flatten(1) for t in _gradients(family, layout, points)]).flatten(0, 1)
        weights = (g * s).sum(0) / (s * s).sum(0)
        if (g - weights * s).abs().max() < layout.tolerance * g.abs().max():
            return None, 0.0, Kind.NOT_ELBO, f"{family.name}, but the numbers of a datum weigh differently"
    return None


def _of_two(found: Sequence[Tensor], layout: Layout, points: Sequence[Probe]) -> Explained | None:
    """A sum of two known ones, or of one and a penalty."""
    for pair in combinations((*LIKELIHOODS, *_PENALTIES), 2):
        factors, apart = fit_sum(found, [_gradients(family, layout, points) for family in pair])
        if apart < layout.tolerance and min(map(abs, factors)) > 1e-3 * max(map(abs, factors)):
            words = " and ".join(f"{factor:.4g} {family.name}" for factor, family in zip(factors, pair, strict=True))
            return None, 0.0, Kind.NOT_ELBO, f"the reconstruction is a sum of two: {words}; no likelihood is"
    return None


def _smoothed(found: Sequence[Tensor], layout: Layout, points: Sequence[Probe]) -> Explained | None:
    """Cross-entropy with label smoothing: targets (1 - e) one_hot + e / classes."""
    assert layout.class_axis is not None
    hard = Family(name="categorical", takes="logits", nll=lambda o, x, axis: -x * o.log_softmax(axis))
    soft = Family(name="categorical", takes="logits", nll=lambda o, x, axis: -o.log_softmax(axis) / o.shape[axis])
    (a, b), apart = fit_sum(found, [_gradients(family, layout, points) for family in (hard, soft)])
    if apart > layout.tolerance or not a:
        return None
    note = f"the labels are smoothed by {b / (a + b):.4g}: the cross-entropy is with targets that are not the data"
    return hard, a + b, Kind.WRONG_LIKELIHOOD, note
