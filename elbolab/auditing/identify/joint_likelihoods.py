"""Likelihoods with a second, and a third, output of the decoder: a scale, a dispersion, a gate."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from elbolab.auditing.heads import HEADS
from elbolab.auditing.identify.likelihoods import Family


def _negative_binomial(mean: Tensor, x: Tensor, theta: Tensor) -> Tensor:
    share = theta + mean
    combinations = (x + theta).lgamma() - theta.lgamma() - (x + 1).lgamma()
    return -(combinations + theta * (theta / share).log() + x * (mean / share).log())


def _zero_inflated(mean: Tensor, x: Tensor, theta: Tensor, gate: Tensor) -> Tensor:
    """A count is 0 with probability sigmoid(gate), and else negative binomial."""
    counted = F.softplus(gate) + _negative_binomial(mean, x, theta)
    zero = torch.logaddexp(gate, theta * (theta / (theta + mean)).log())
    return torch.where(x == 0, F.softplus(gate) - zero, counted)


def _spread_gaussian(head: str) -> Callable[..., Tensor]:
    def nll(o: Tensor, x: Tensor, _: int, s: Tensor) -> Tensor:
        v = HEADS[head].variance(s, torch)
        return 0.5 * (v.log() + (o - x) ** 2 / v + math.log(2 * math.pi))

    return nll


def _logistic_bin(half: float) -> Callable[..., Tensor]:
    """A logistic of location o and log-scale s, integrated over a bin of this half width."""

    def nll(o: Tensor, x: Tensor, _: int, s: Tensor) -> Tensor:
        upper, lower = ((x - o + half) * (-s).exp(), (x - o - half) * (-s).exp())
        return -(upper.sigmoid() - lower.sigmoid()).clamp(min=1e-12).log()

    return nll


_TWO = ("output", "spread")
# With a second, and a third, output of the decoder.
JOINT = (
    *(
        Family(name="gaussian", takes="location", slots=_TWO, nll=_spread_gaussian(head), note=f"its {head} is learned")
        for head in ("logvar", "logstd", "std", "var", "softplus std", "softplus var")
    ),
    Family(
        name="laplace",
        takes="location",
        slots=_TWO,
        nll=lambda o, x, _, s: s + (o - x).abs() * (-s).exp() + math.log(2),
        note="its log-scale is learned",
    ),
    Family(
        name="laplace",
        takes="location",
        slots=_TWO,
        nll=lambda o, x, _, s: (2 * s).log() + (o - x).abs() / s,
        note="its scale is learned",
    ),
    *(
        Family(
            name="discretised_logistic",
            takes="location",
            slots=_TWO,
            nll=_logistic_bin(half),
            note=f"bins of {2 * half:.4g}, its log-scale is learned",
        )
        for half in (1 / 255, 0.5 / 255, 1 / 256, 0.5 / 256)
    ),
    Family(name="negative_binomial", takes="rate", slots=_TWO, nll=lambda o, x, _, s: _negative_binomial(o, x, s)),
    Family(
        name="negative_binomial",
        takes="rate",
        slots=_TWO,
        nll=lambda o, x, _, s: _negative_binomial(o, x, s.exp()),
        note="its log-dispersion is learned",
    ),
    Family(
        name="negative_binomial",
        takes="logits",
        slots=_TWO,
        nll=lambda o, x, _, s: _negative_binomial(s * o.exp(), x, s),
        note="in logits and total count, as torch has it",
    ),
    Family(
        name="zero_inflated_negative_binomial",
        takes="rate",
        slots=("output", "spread", "gate"),
        nll=lambda o, x, _, s, gate: _zero_inflated(o, x, s, gate),
    ),
    Family(
        name="zero_inflated_negative_binomial",
        takes="rate",
        slots=("output", "spread", "gate"),
        nll=lambda o, x, _, s, gate: _zero_inflated(o, x, s.exp(), gate),
    ),
    Family(
        name="beta",
        takes="rate",
        slots=_TWO,
        nll=lambda a, x, _, b: a.lgamma() + b.lgamma() - (a + b).lgamma() - (a - 1) * x.log() - (b - 1) * (1 - x).log(),
    ),
)
