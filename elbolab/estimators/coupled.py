"""Pairs of one-hot codes, coupled so that they differ often: DisARM for more than two categories.

A code is written as bits, one at every node of a tree whose leaves are the categories: does it go on to the right? The
bits' logits are a_n = log sum of the probabilities on the right - log sum of those on the left. The partner z' has at
every node that z passes the mirrored bit, elsewhere an independent one. f = log p(x, z) - log q(z|x); all are unbiased
for the ELBO, with two decoder evaluations per pair, K pairs averaged; the model's gradient uses both (*Dong, Mnih and
Tucker, 2021, Coupled Gradient Estimators for Discrete Latent Variables*, arXiv 2106.08056).
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from elbolab.estimators.base import Estimate
from elbolab.estimators.codes import Coded, Codes, uniform
from elbolab.estimators.conditions import INDEPENDENT, Condition, latents_of
from elbolab.programs.draw import Draw

ONE_HOT = latents_of("one-hot latents", torch.distributions.OneHotCategorical)
Sides = tuple[Tensor, Tensor]  # which leaves are on the left and which on the right of every node, (nodes, categories)


def stick(categories: int) -> Sides:
    """Category after category: is it this one (right), or a later one (left)?"""
    own = torch.eye(categories)[:-1]
    return torch.ones(categories, categories).triu(1)[:-1], own


def halves(categories: int) -> Sides:
    """A tree that splits its categories in two halves at every node."""
    left: list[Tensor] = []
    right: list[Tensor] = []
    rest = [range(categories)]
    while rest:
        one = rest.pop()
        middle = (len(one) + 1) // 2
        if len(one) > 1:
            for rows, part in ((left, one[:middle]), (right, one[middle:])):
                rows.append(torch.zeros(categories).index_fill(0, torch.tensor(part), 1))
                rest.append(part)
    return torch.stack(left), torch.stack(right)


@dataclass
class Path:
    """Codes z of the given logits as bits at the nodes of a tree; all of shape (*, nodes)."""

    logits: Tensor
    z: Tensor
    left: Tensor
    right: Tensor

    @cached_property
    def bit(self) -> Tensor:
        return self.z @ self.right.T

    @cached_property
    def passed(self) -> Tensor:
        """Whether z goes through the node."""
        return self.bit + self.z @ self.left.T

    @cached_property
    def node_logits(self) -> Tensor:
        """a_n, which depends on the logits."""
        of = self.logits[..., None, :]
        right, left = (of.masked_fill(side == 0, -torch.inf).logsumexp(-1) for side in (self.right, self.left))
        return right - left

    @cached_property
    def chance(self) -> Tensor:
        return self.node_logits.detach().sigmoid()

    def partner(self) -> "Path":
        """A code distributed as z is, whose bits mirror those of z."""
        p = self.chance
        # b' = 1[u > 1 - p] and b = 1[u < p] share u: given b, b' is 1 with the probability of what is left of u.
        given_one, given_zero = (2 * p - 1).clamp(min=0) / p, p / (1 - p)
        mirrored = torch.where(self.bit > 0, given_one, given_zero.clamp(max=1))
        chance = torch.where(self.passed > 0, mirrored, p)
        bit = (uniform(p) < chance).to(self.z)
        # The leaf where every node above it goes its way.
        agreed = bit @ self.right + (1 - bit) @ self.left
        depth = (self.left + self.right).sum(0)
        return Path(self.logits, (agreed == depth).to(self.z), self.left, self.right)


class _Coupled(Coded):
    """1/K sum_k [f(z) - f(z')] c, c of a mean that depends on the estimator, along a function of the logits."""

    conditions: tuple[Condition, ...] = (ONE_HOT, INDEPENDENT)

    @abstractmethod
    def along(self, logits: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """z', and what has c as its derivative with respect to the logits, summed over the categories: (*, codes)."""

    def estimate(self, draw: Draw) -> Estimate:
        codes = Codes.of(draw)
        found = {name: self.along(logits, codes.values[name].detach()) for name, logits in codes.logits.items()}
        partners = {name: z for name, (z, _) in found.items()}
        log_p, other_log_p = draw.log_p(), draw.log_p(partners)
        f, other_f = (log_p - draw.log_q()).detach(), (other_log_p - draw.log_q(partners)).detach()
        surrogate = 0.5 * (log_p + other_log_p) + (f - other_f) * self.total(codes, found)
        return Estimate(0.5 * (f + other_f).mean(0), surrogate.mean(0))

    def total(self, codes: Codes, found: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        """The sum over a datum's codes, shape (particles, batch)."""
        # One number per code, in the place of its categories.
        return codes.rows({name: value[..., None] for name, (_, value) in found.items()}).sum(-1)


class _Tree(_Coupled):
    """At nodes that both pass 1/2 (b - b') sigmoid(|a|) da; at those that one passes half its score, (b - p) da / 2.

    The latter is the former's expectation over the bit of the other, which that one's code does not depend on.
    """

    @abstractmethod
    def sides(self, categories: int) -> Sides:
        """The tree."""

    def along(self, logits: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        left, right = (side.to(z) for side in self.sides(z.shape[-1]))
        path = Path(logits, z, left, right)
        other = path.partner()
        p, a = path.chance, path.node_logits
        both = path.passed * other.passed
        mirrored = (path.bit - other.bit) * a.detach().abs().sigmoid()
        alone = (path.passed - both) * (path.bit - p) - (other.passed - both) * (other.bit - p)
        return other.z, ((0.5 * (both * mirrored + alone)) * a).sum(-1)


class DisARMSB(_Tree):
    """The bits of stick-breaking: the first category or a later one, the second or a later one, and so on.

    For two categories it is DisARM.
    """

    def sides(self, categories: int) -> Sides:
        return stick(categories)


class DisARMTree(_Tree):
    """The bits of a balanced tree, so that a code has log2 of its categories of them."""

    def sides(self, categories: int) -> Sides:
        return halves(categories)


class DisARMIW(_Coupled):
    """The score of a pair of codes, weighed by how likely the coupling makes it.

    1/2 v [f(z) - f(z')] (d log q(z) - d log q(z')), v = q(z) q(z') / the probability of the pair, code by code.

    The stick is broken in the order of rising probabilities, so that no bit is likelier than 1/2 and every pair that
    differs can be drawn: v = (1 - p_c) prod over i < c of (1 - p_i)^2 / (1 - 2 p_i), c the first node where they part.
    """

    def along(self, logits: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        order = logits.detach().argsort(-1)
        left, right = (side.to(z) for side in stick(z.shape[-1]))
        path = Path(logits.detach().gather(-1, order), z.gather(-1, order), left, right)
        other, p = path.partner(), path.chance
        # Nodes that both pass with the bit 0, and the one where they part.
        both = path.passed * other.passed
        stay, part = both * (1 - path.bit) * (1 - other.bit) > 0, both * (path.bit - other.bit) != 0
        twice = 2 * (-p).log1p() - (-2 * p).clamp(min=-1).log1p()
        log_weight = torch.where(stay, twice, 0.0) + torch.where(part, (-p).log1p(), 0.0)
        weight = torch.where(part.any(-1), log_weight.sum(-1).exp(), 0.0)
        partner = torch.zeros_like(z).scatter(-1, order, other.z)
        return partner, 0.5 * weight * ((z - partner) * logits).sum(-1)
