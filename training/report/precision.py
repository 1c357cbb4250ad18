"""How exactly weights are kept in a page of limited size, and what of the model is left out where they do not fit."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from elbolab.report.constants import worst
from elbolab.validation import unvalidated
from training.report.programs import OF_THE_ENCODER, Exported, Parts, exported

EXACT = 1e-4  # nats that the page's numbers may be off by, for every datum that it shows
VISIBLE = 0.02  # of the largest value of E[x|z]: nobody sees what is below
_PROBE, _LEAST = 14.0, 2.0  # bits at which errors are weighed; how many fewer an array may get
FINEST, COARSEST = 22, 3  # bits below an array's root mean square


class Kept(NamedTuple):
    """What goes into the page: programs, bits of the weights (None: as they are), and how far numbers are off."""

    exported: Exported
    bits: float | None
    apart: float
    exact: bool


def kept(
    parts: Parts, data: Tensor, prepare: Callable[[Exported], None], fits: Callable[[Exported, float | None], bool]
) -> Kept:
    """The most that fits: all of it with numbers that equal the run's, else the decoder alone, else a coarse one.

    Args:
        parts: the run's.
        data: data on which numbers are compared, shape (count, *datum).
        prepare: puts what else the page holds beside the programs.
        fits: whether a page with so many bits is small enough.
    """
    everything = exported(parts, data[:1])
    prepare(everything)
    if found := _exact(everything, data, fits):
        return found
    size = sum(value.numel() for value in everything.constants.values)
    reason = f"the weights ({size / 1e6:.2g} million numbers) do not fit into this file"
    decoder = exported(parts, data[:1], without=dict.fromkeys(OF_THE_ENCODER, f"the encoder is left out: {reason}"))
    prepare(decoder)
    if found := _exact(decoder, data, fits):
        return found
    for name in ("distortion", "logits"):
        if decoder.programs.pop(name, None):
            decoder.refused[name] = f"the likelihood is left out: {reason} as exactly as numbers need them"
    bits = _finest(decoder, fits)
    if bits is not None and apart(decoder, data, bits) <= VISIBLE:
        return Kept(decoder, bits, apart(decoder, data, bits), False)
    nothing = Exported(refused=dict.fromkeys([*decoder.programs, *decoder.refused], reason))
    prepare(nothing)
    return Kept(nothing, None, 0.0, False)


def _exact(found: Exported, data: Tensor, fits: Callable[[Exported, float | None], bool]) -> Kept | None:
    """As they are, or with as many bits as fit, if those are enough."""
    if fits(found, None):
        return Kept(found, None, 0.0, True)
    _weigh(found, data)
    bits = _finest(found, fits)
    off = apart(found, data, bits) if bits is not None else torch.inf
    return Kept(found, bits, off, True) if off <= EXACT else None


def _finest(found: Exported, fits: Callable[[Exported, float | None], bool]) -> float | None:
    """The most bits that fit, by bisection."""
    if not fits(found, COARSEST):
        return None
    low, high = COARSEST, FINEST + 1
    while high - low > 0.25:
        middle = (low + high) / 2
        low, high = (middle, high) if fits(found, middle) else (low, middle)
    return low


def _weigh(found: Exported, data: Tensor) -> None:
    """Gives an array more bits the more numbers suffer from its rounding, and fewer the more bits cost there.

    The sum of squared errors c_k^2 4^-b_k is least for its size sum_k n_k b_k where b_k = b + log2(c_k^2 / n_k) / 2.
    """
    constants = found.constants
    large = [k for k, fixed in enumerate(constants.fixed) if not fixed]
    errors = {k: apart(found, data[:4], _PROBE, only=k) for k in large}
    wanted = {k: 0.5 * math.log2(max(errors[k], 1e-30) ** 2 / constants.values[k].numel()) for k in large}
    biggest = max(large, key=lambda k: constants.values[k].numel(), default=None)
    for k in large:
        constants.extra[k] = min(6.0, max(-_LEAST, wanted[k] - wanted[biggest]))


def apart(found: Exported, data: Tensor, bits: float | None, only: int | None = None) -> float:
    """The largest difference of a number in the page from the run's: in nats, or as a share of E[x|z]'s peak."""
    exact, coarse = found.constants.values, found.constants.coarse(bits, only)
    pairs = [zip(_numbers(found, v, data), strict=True) for v in (exact, coarse)]
    return max((worst(a, b) for (a,), (b,) in zip(*pairs, strict=True)), default=0.0)


@torch.no_grad()
def _numbers(found: Exported, values: list[Tensor], data: Tensor) -> list[list[Tensor]]:
    """Everything in nats, for every datum and its own noise; of a decoder alone, at draws of the prior."""
    programs, numbers = found.programs, []
    with unvalidated():
        for seed, x in enumerate(data.split(1)):
            if "draw" in programs:
                z, log_q = found.check("draw", values, x, seed=seed)[1]
                numbers.append([log_q])
            elif "prior" in programs:
                (z,) = found.check("prior", values, seed=seed)[1]
            else:
                continue
            for name, inputs in (("kl", (x,)), ("log_p", (z,)), ("trace", (x,)), ("mean_field", (x,))):
                if name in programs:
                    numbers.append([part.sum() for part in found.check(name, values, *inputs, seed=seed)[1]])
            if "distortion" in programs:
                numbers.append(found.check("distortion", values, x, z, seed=seed)[1])
            elif "decode" in programs:
                (mean,) = found.check("decode", values, z, seed=seed)[1]
                (whole,) = found.check("decode", found.constants.values, z, seed=seed)[1]
                numbers.append([mean / whole.abs().max()])
    return numbers
