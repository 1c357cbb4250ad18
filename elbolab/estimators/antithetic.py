"""Pairs of bits from one uniform and its mirror image: b = 1[u > sigmoid(-l)], b' = 1[u < sigmoid(l)].

Both are distributed as q(z|x), and their difference needs no baseline. f = log p(x, z) - log q(z|x); with K particles
the mean over K pairs. Both are unbiased, with two decoder evaluations per pair; the model's gradient uses both.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from elbolab.estimators.base import Estimate
from elbolab.estimators.codes import Coded, Codes, uniform
from elbolab.estimators.conditions import BITS, INDEPENDENT, Condition
from elbolab.programs.draw import Draw


class _Mirrored(Coded):
    """1/K sum_k [f(b) - f(b')] c(u, l), c of a mean that depends on the estimator."""

    conditions: tuple[Condition, ...] = (BITS, INDEPENDENT)

    @abstractmethod
    def factor(self, u: Tensor, logits: Tensor, b: Tensor, mirrored: Tensor) -> Tensor:
        """c for every bit."""

    def estimate(self, draw: Draw) -> Estimate:
        bits = Codes.of(draw)
        mirrored, factors = {}, {}
        for name, logits in bits.logits.items():
            logits, b = logits.detach(), bits.values[name]
            # u given b: the guide has drawn b already.
            p, v = logits.sigmoid(), uniform(logits)
            u = torch.where(b > 0, 1 - p + p * v, (1 - p) * v)
            mirrored[name] = (u < p).to(b)
            factors[name] = self.factor(u, logits, b, mirrored[name])
        log_p, mirrored_log_p = draw.log_p(), draw.log_p(mirrored)
        f, mirrored_f = (log_p - draw.log_q()).detach(), (mirrored_log_p - draw.log_q(mirrored)).detach()
        surrogate = 0.5 * (log_p + mirrored_log_p) + (f - mirrored_f) * bits.dot(factors, bits.logits)
        return Estimate(0.5 * (f + mirrored_f).mean(0), surrogate.mean(0))


class ARM(_Mirrored):
    """[f(b) - f(b')] (u - 1/2) (Yin and Zhou, 2019, ARM: Augment-REINFORCE-Merge Gradient)."""

    def factor(self, u: Tensor, logits: Tensor, b: Tensor, mirrored: Tensor) -> Tensor:
        return u - 0.5


class DisARM(_Mirrored):
    """1/2 [f(b) - f(b')] (-1)^b' 1[b != b'] sigmoid(|l|), ARM's expectation given the two (Dong et al., 2020, DisARM).

    The same was found by Yin et al., 2020, as the unbiased uniform gradient U2G.
    """

    def factor(self, u: Tensor, logits: Tensor, b: Tensor, mirrored: Tensor) -> Tensor:
        # (-1)^b' where the two differ, 0 where they agree, is b - b'.
        return 0.5 * (b - mirrored) * logits.abs().sigmoid()
