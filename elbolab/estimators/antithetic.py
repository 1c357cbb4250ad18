"""Pairs of bits from one uniform and its mirror image: b = 1[u > sigmoid(-l)], b' = 1[u < sigmoid(l)].

Both are distributed as q(z|x), and their difference needs no baseline. f = log p(x, z) - log q(z|x); with K particles
the mean over K pairs. Both are unbiased, with two decoder evaluations per pair; the model's gradient uses both.

Bits that depend on others are served layer by layer: given those before it a layer is mirrored, and those after it are
drawn anew from the guide, so that f - f' is the layer's own; one decoder evaluation more for every further layer.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from elbolab.estimators.base import Estimate
from elbolab.estimators.codes import Coded, Codes, uniform
from elbolab.estimators.conditions import BITS, Condition
from elbolab.programs.draw import Draw


class _Mirrored(Coded):
    """1/K sum_k [f(b) - f(b')] c(u, l), c of a mean that depends on the estimator."""

    conditions: tuple[Condition, ...] = (BITS,)

    @abstractmethod
    def factor(self, u: Tensor, logits: Tensor, b: Tensor, mirrored: Tensor) -> Tensor:
        """c for every bit."""

    def estimate(self, draw: Draw) -> Estimate:
        bits = Codes.of(draw)
        log_p, log_q = draw.log_p(), draw.log_q()
        f = (log_p - log_q).detach()
        before: dict[str, Tensor] = {}
        pairs, scores = [], torch.zeros(())
        for layer in draw.reading.layers():
            mirrored, factors = self.pair(bits, layer)
            values = draw.redrawn(before | mirrored) if len(before | mirrored) < len(bits.values) else before | mirrored
            pairs.append((draw.log_p(values), draw.log_q(values)))
            other = (pairs[-1][0] - pairs[-1][1]).detach()
            scores = scores + (f - other) * bits.dot(factors, bits.logits)
            before |= {name: bits.values[name] for name in layer}
        # What the first layer's mirror image leads to is a draw from q like any other.
        other_log_p, other_log_q = pairs[0]
        bound = 0.5 * (f + (other_log_p - other_log_q).detach())
        return Estimate(bound.mean(0), (0.5 * (log_p + other_log_p) + scores).mean(0))

    def pair(self, bits: Codes, names: Sequence[str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Some latents' mirror images, and c for each of their bits."""
        mirrored, factors = {}, {}
        for name in names:
            logits, b = bits.logits[name].detach(), bits.values[name]
            # u given b: the guide has drawn b already.
            p, v = logits.sigmoid(), uniform(logits)
            u = torch.where(b > 0, 1 - p + p * v, (1 - p) * v)
            mirrored[name] = (u < p).to(b)
            factors[name] = self.factor(u, logits, b, mirrored[name])
        return mirrored, factors


class ARM(_Mirrored):
    """The difference of two mirrored sets of bits, weighed by the uniform that they share.

    [f(b) - f(b')] (u - 1/2) (Yin and Zhou, 2019, ARM: Augment-REINFORCE-Merge Gradient, arXiv 1807.11143).
    """

    def factor(self, u: Tensor, logits: Tensor, b: Tensor, mirrored: Tensor) -> Tensor:
        return u - 0.5


class DisARM(_Mirrored):
    """ARM's expectation given its two sets of bits.

    1/2 [f(b) - f(b')] (-1)^b' 1[b != b'] sigmoid(|l|), c of ARM averaged over u (Dong et al., 2020, DisARM, arXiv
    2006.10680).

    The same was found by Yin et al., 2020, as the unbiased uniform gradient U2G.
    """

    def factor(self, u: Tensor, logits: Tensor, b: Tensor, mirrored: Tensor) -> Tensor:
        # (-1)^b' where the two differ, 0 where they agree, is b - b'.
        return 0.5 * (b - mirrored) * logits.abs().sigmoid()
