"""Bits and one-hot codes z ~ q(z|x) = prod_j q(z_j; l_j(x)) as functions of their logits l, and f beside them.

The learning signal is f(z) = log p(x, z) - log q(z|x). Of its gradient with respect to the guide's parameters phi
only what comes through z is estimated: what f depends on phi for itself has the expectation E_q[d log q] = 0. Between
the codes f is continued linearly in log p(z) and log q(z|x), as sum_j z_j log q_j, and through the decoder as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import Distribution

from elbolab.estimators.base import Estimator
from elbolab.estimators.conditions import CODES, INDEPENDENT, Condition
from elbolab.programs.draw import Draw
from elbolab.programs.sites import base
from elbolab.validation import unvalidated


class Bits:
    """z_j in {0, 1}, 1 with probability sigmoid(l_j): 1[l + log u - log(1 - u) > 0], u uniform."""

    @staticmethod
    def normalised(logits: Tensor) -> Tensor:
        return logits

    @staticmethod
    def mean(logits: Tensor) -> Tensor:
        return logits.sigmoid()

    @staticmethod
    def log_prob(logits: Tensor, z: Tensor) -> Tensor:
        return z * logits - F.softplus(logits)

    @staticmethod
    def logits(mean: Tensor) -> Tensor:
        """The inverse of `mean`."""
        return mean.logit()

    @staticmethod
    def gapped(logits: Tensor, z: Tensor, gap: float) -> Tensor:
        """The logits l moved as little as has z lead by the gap, as constants added to l."""
        sign = 2 * z - 1
        return logits + (sign * (sign * logits).clamp(min=gap) - logits).detach()

    @staticmethod
    def rise(z: Tensor, slope: Tensor) -> Tensor:
        """What a slope gains on the way to each neighbour."""
        return (1 - 2 * z) * slope

    @staticmethod
    def chance(z: Tensor, mean: Tensor) -> Tensor:
        """The probability of each neighbour."""
        return torch.where(z > 0, 1 - mean, mean)

    @staticmethod
    def relax(noisy: Tensor, temperature: float) -> Tensor:
        """The binary concrete value (Maddison, Mnih and Teh, 2017)."""
        return (noisy / temperature).sigmoid()

    @staticmethod
    def noisy(logits: Tensor, z: Tensor) -> Tensor:
        """A draw of l + log u - log(1 - u) given z, differentiable in l (Tucker et al., 2017, appendix)."""
        sign, v = 2 * z - 1, uniform(logits)
        return sign * F.softplus(v.log() - (-v).log1p() + F.softplus(sign * logits))


class OneHot:
    """z the one-hot code of the category with the largest l_j + Gumbel noise."""

    @staticmethod
    def normalised(logits: Tensor) -> Tensor:
        return logits.log_softmax(-1)

    @staticmethod
    def mean(logits: Tensor) -> Tensor:
        return logits.softmax(-1)

    @staticmethod
    def log_prob(logits: Tensor, z: Tensor) -> Tensor:
        return z * OneHot.normalised(logits)

    @staticmethod
    def logits(mean: Tensor) -> Tensor:
        """The inverse of `mean`."""
        return mean.log()

    @staticmethod
    def gapped(logits: Tensor, z: Tensor, gap: float) -> Tensor:
        """The logits l with z's raised to the largest and the others lowered to the gap below it, by constants."""
        largest = logits.amax(-1, keepdim=True)
        moved = torch.where(z > 0, largest, torch.minimum(logits, largest - gap))
        return logits + (moved - logits).detach()

    @staticmethod
    def rise(z: Tensor, slope: Tensor) -> Tensor:
        """What a slope gains on the way to each neighbour."""
        return slope - (slope * z).sum(-1, keepdim=True)

    @staticmethod
    def chance(z: Tensor, mean: Tensor) -> Tensor:
        """The probability of each neighbour."""
        return mean

    @staticmethod
    def relax(noisy: Tensor, temperature: float) -> Tensor:
        """The concrete value (Maddison, Mnih and Teh, 2017; Jang et al., 2017)."""
        return (noisy / temperature).softmax(-1)

    @staticmethod
    def noisy(logits: Tensor, z: Tensor) -> Tensor:
        """A draw of log p + Gumbel noise given z, differentiable in l (Tucker et al., 2017, appendix).

        With exponential e the largest is -log e_k, and every other -log(e_j / p_j + e_k).
        """
        log_e = (-uniform(logits).log()).log()
        largest = (z * log_e).sum(-1, keepdim=True)
        return -torch.where(z > 0, largest, torch.logaddexp(log_e - OneHot.normalised(logits), largest))


def uniform(like: Tensor) -> Tensor:
    """Uniform on the open interval (0, 1)."""
    info = torch.finfo(like.dtype)
    return torch.rand_like(like).clamp(info.tiny, 1 - info.eps)


def kind(q: Distribution) -> type[Bits] | type[OneHot]:
    return Bits if isinstance(base(q), torch.distributions.Bernoulli) else OneHot


@dataclass
class Codes:
    """The drawn codes z of independent latents, and the logits l that they were drawn with, by the latents' names."""

    draw: Draw
    logits: Mapping[str, Tensor]
    values: Mapping[str, Tensor]

    @classmethod
    def of(cls, draw: Draw) -> "Codes":
        return cls(draw, draw.arguments_of(_logits), draw.values)

    def free(self) -> "Codes":
        """The same codes with logits that are variables of their own."""
        leaves = {name: logits.detach().requires_grad_() for name, logits in self.logits.items()}
        return Codes(self.draw, leaves, self.values)

    def each(self, function: Callable[..., Tensor], *more: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """function(kind of code, latent's entry in each of `more`) for every latent."""
        return {name: function(kind(q), *(m[name] for m in more)) for name, q in self.draw.posteriors.items()}

    def rows(self, latent: Mapping[str, Tensor]) -> Tensor:
        """The numbers of a datum, of all its latents or of some: shape (particles, batch, numbers)."""
        posteriors = self.draw.posteriors
        found = [self.draw.rows(value, posteriors[name].event_dim) for name, value in latent.items()]
        return torch.cat(found, -1)

    def dot(self, one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Tensor:
        """sum_j a_j b_j, shape (particles, batch)."""
        return self.rows({name: one[name] * other[name] for name in one}).sum(-1)

    def mean(self) -> dict[str, Tensor]:
        return self.each(lambda code, logits: code.mean(logits), self.logits)

    def log_prob(self) -> Tensor:
        """log q(z|x), shape (particles, batch): its gradient is the score."""
        return self.rows(self.each(lambda code, *both: code.log_prob(*both), self.logits, self.values)).sum(-1)

    def relax(self, noisy: Mapping[str, Tensor], temperature: float) -> dict[str, Tensor]:
        return self.each(lambda code, value: code.relax(value, temperature), noisy)

    def noisy(self) -> dict[str, Tensor]:
        """The noisy logits given z, which depend on l as the quantiles of their distribution given z do."""
        return self.each(lambda code, *both: code.noisy(*both), self.logits, self.values)

    def shifted(self, noisy: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same values as l + noise, which depend on l as a draw does before z is known."""
        logits = self.each(lambda code, logits: code.normalised(logits), self.logits)
        return {name: value + (noisy[name] - value).detach() for name, value in logits.items()}


class _Linear(Messenger):
    """Continues the log-probabilities of one-hot codes linearly; those of bits are so already."""

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and not msg["is_observed"]:
            msg["fn"] = _linear(msg["fn"])


class _SoftOneHot(dist.OneHotCategorical):
    stands_for = dist.OneHotCategorical

    def log_prob(self, value: Tensor) -> Tensor:
        return (value * self.logits).sum(-1)


def _logits(q: Any) -> Tensor:  # noqa: ANN401
    return base(q).logits  # type: ignore[attr-defined]


def _linear(p: Any) -> Distribution:  # noqa: ANN401
    if isinstance(p, dist.MaskedDistribution):
        return dist.MaskedDistribution(_linear(p.base_dist), p._mask)
    if isinstance(p, torch.distributions.Independent):
        return dist.Independent(_linear(p.base_dist), p.reinterpreted_batch_ndims)
    return _SoftOneHot(logits=p.logits) if isinstance(p, torch.distributions.OneHotCategorical) else p


def slope(draw: Draw, values: Mapping[str, Tensor], particles: int | None = None) -> tuple[Tensor, Tensor, dict]:
    """log p and log q at codes or between them, of shape (particles, batch), and df/dz by the latents' names."""
    still = {name: value.detach().requires_grad_() for name, value in values.items()}
    with torch.enable_grad(), unvalidated(), _Linear():
        log_p, log_q = draw.log_p(still, particles), draw.log_q(still, particles)
        f = (log_p - log_q).sum()
        found = torch.autograd.grad(f, list(still.values()), retain_graph=True, materialize_grads=True)
    return log_p, log_q, dict(zip(still, found, strict=True))


class Coded(Estimator):
    """What estimators share that know q by its logits: bits or one-hot codes that are independent given x."""

    conditions: tuple[Condition, ...] = (CODES, INDEPENDENT)
