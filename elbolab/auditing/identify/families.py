"""The shapes that a loss is held against: likelihoods, heads of the encoder, and the mistakes that have a name.

Everything here is elementwise, in nats, and differentiable: a shape is recognised by its gradient, so that constants
do not matter. Where a constant belongs to a density, it is stated beside it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

TAKES = {
    "logits": {"logits", "location"},
    "probs": {"probs", "location"},
    "mean": {"probs", "location", "rate"},
    "output": {"logits", "probs", "location", "rate", "log-probs"},
}


@dataclass(frozen=True, kw_only=True)
class Family:
    """-log p(x | output), up to `constant`, nats per element.

    `takes` is what the decoder's output has to be; `mistake` says what is wrong where no decoder output makes it right.
    `constant(scale)` is what a density of that scale adds per element, where people leave it out.
    """

    name: str
    takes: str
    nll: Callable[[Tensor, Tensor, int], Tensor]
    mistake: str = ""
    constant: Callable[[float], float] | None = None

    def gradient(self, output: Tensor, x: Tensor, axis: int) -> Tensor:
        leaf = output.detach().clone().requires_grad_()
        return torch.autograd.grad(self.nll(leaf, x, axis).sum(), leaf)[0]


def _bernoulli(p: Tensor, x: Tensor) -> Tensor:
    return -(torch.xlogy(x, p) + torch.xlogy(1 - x, 1 - p))


def _from_logits(logits: Tensor, x: Tensor) -> Tensor:
    return F.softplus(logits) - x * logits


def _gaussian_constant(sigma2: float) -> float:
    return 0.5 * math.log(2 * math.pi * sigma2)


def _laplace_constant(scale: float) -> float:
    return math.log(2 * scale)


def _continuous(logits: Tensor, x: Tensor) -> Tensor:
    """BCE - log C with C = l / tanh(l / 2), Loaiza-Ganem and Cunningham, 2019, "The continuous Bernoulli"."""
    small = logits.abs() < 1e-3
    away = torch.where(small, torch.ones_like(logits), logits)
    return _from_logits(logits, x) - torch.where(small, math.log(2) + logits**2 / 12, (away / (away / 2).tanh()).log())


def _odds(x: Tensor) -> Tensor:
    """log x - log(1 - x), with the logarithms stopped at -100 as in `F.binary_cross_entropy`."""
    return x.log().clamp(min=-100) - (1 - x).log().clamp(min=-100)


LIKELIHOODS = (
    Family(name="bernoulli", takes="logits", nll=lambda o, x, _: _from_logits(o, x)),
    Family(name="bernoulli", takes="probs", nll=lambda o, x, _: _bernoulli(o, x)),
    Family(name="gaussian", takes="location", nll=lambda o, x, _: 0.5 * (o - x) ** 2, constant=_gaussian_constant),
    Family(
        name="gaussian",
        takes="logits",
        nll=lambda o, x, _: 0.5 * (o.sigmoid() - x) ** 2,
        constant=_gaussian_constant,
    ),
    Family(name="laplace", takes="location", nll=lambda o, x, _: (o - x).abs(), constant=_laplace_constant),
    Family(name="laplace", takes="logits", nll=lambda o, x, _: (o.sigmoid() - x).abs(), constant=_laplace_constant),
    Family(name="continuous_bernoulli", takes="probs", nll=lambda o, x, _: _continuous(o.logit(), x)),
    Family(name="continuous_bernoulli", takes="logits", nll=lambda o, x, _: _continuous(o, x)),
    Family(name="categorical", takes="logits", nll=lambda o, x, axis: -x * o.log_softmax(axis)),
    Family(name="poisson", takes="rate", nll=lambda o, x, _: o - x * o.log()),
    Family(name="poisson", takes="logits", nll=lambda o, x, _: o.exp() - x * o),
)

CATEGORICALS = (
    *(family for family in LIKELIHOODS if family.name == "categorical"),
    Family(name="categorical", takes="log-probs", nll=lambda o, x, _: -x * o),
    Family(name="categorical", takes="probs", nll=lambda o, x, _: -torch.xlogy(x, o)),
)

_SWAPPED = "the data and the reconstruction are swapped: the target is differentiated, not the prediction"
SLIPS = (
    Family(
        name="bernoulli",
        takes="logits",
        nll=lambda o, x, _: _from_logits(o.sigmoid(), x),
        mistake="a sigmoid is applied twice: binary_cross_entropy_with_logits wants the pre-sigmoid value",
    ),
    Family(name="bernoulli", takes="probs", nll=lambda o, x, _: -o * _odds(x), mistake=_SWAPPED),
    Family(name="bernoulli", takes="logits", nll=lambda o, x, _: -o.sigmoid() * _odds(x), mistake=_SWAPPED),
    Family(name="bernoulli", takes="logits", nll=lambda o, x, _: -o * x, mistake=_SWAPPED),
    Family(name="bernoulli", takes="logits", nll=lambda o, x, _: -o.sigmoid() * x, mistake=_SWAPPED),
    Family(
        name="bernoulli",
        takes="probs",
        nll=lambda o, x, _: -x * o.log(),
        mistake="only x log p is there, and (1 - x) log(1 - p) is not: right for a softmax over classes alone",
    ),
    Family(
        name="bernoulli",
        takes="logits",
        nll=lambda o, x, _: -x * F.logsigmoid(o),
        mistake="only x log p is there, and (1 - x) log(1 - p) is not",
    ),
    Family(
        name="bernoulli",
        takes="probs",
        nll=lambda o, x, _: -torch.xlogy(1 - x, 1 - o),
        mistake="only (1 - x) log(1 - p) is there, and x log p is not",
    ),
    Family(
        name="bernoulli",
        takes="probs",
        nll=lambda o, x, _: -(torch.xlogy(x, 1 - o) + torch.xlogy(1 - x, o)),
        mistake="x and 1 - x are exchanged: it learns the negative",
    ),
)

# Both halves of the cross-entropy, to find one that is weighted (pos_weight).
HALVES = {
    "logits": (lambda o, x: -x * F.logsigmoid(o), lambda o, x: -(1 - x) * F.logsigmoid(-o)),
    "probs": (lambda o, x: -x * o.log(), lambda o, x: -(1 - x) * (1 - o).log()),
}

# The variance that each second head of the encoder stands for. The first four are the roles that a user can name.
HEADS: dict[str, Callable[[Tensor], Tensor]] = {
    "logvar": torch.exp,
    "logstd": lambda h: (2 * h).exp(),
    "std": torch.square,
    "var": lambda h: h,
    "softplus std": lambda h: F.softplus(h).square(),
    "softplus var": F.softplus,
    "logprecision": lambda h: (-h).exp(),
    "precision": torch.reciprocal,
}
REAL_HEADS = {"logvar", "logstd", "softplus std", "softplus var", "logprecision"}
NEUTRAL = {"softplus std": math.log(math.e - 1), "softplus var": math.log(math.e - 1), "std": 1.0, "var": 1.0}
NEUTRAL |= {"precision": 1.0}


def variance(head: str, h: Tensor) -> tuple[Tensor, Tensor]:
    """v(h) and dv/dh."""
    leaf = h.detach().clone().requires_grad_()
    v = HEADS[head](leaf)
    return v.detach(), torch.autograd.grad(v.sum(), leaf)[0]


def kl(head: str, mu: Tensor, h: Tensor) -> Tensor:
    """KL(N(mu, v(h)) || N(0, 1)) = (mu^2 + v - 1 - log v) / 2, elementwise."""
    v, _ = variance(head, h)
    return 0.5 * (mu**2 + v - 1 - v.log())


WRONG_KLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "it is KL(p || q), the wrong way round, of a log-variance": lambda m, h: 0.5 * (h + (1 + m**2) * (-h).exp()),
    "it is KL(p || q), the wrong way round, of a log-std": lambda m, h: h + 0.5 * (1 + m**2) * (-2 * h).exp(),
    "it is KL(p || q), the wrong way round, of a std": lambda m, h: h.log() + 0.5 * (1 + m**2) / h**2,
    "exp(log-std) is not squared: 2 h - exp(h) is neither a log-std's nor a log-variance's": lambda m, h: (
        0.5 * (m**2 + h.exp() - 2 * h)
    ),
    "exp(2 h) is a log-std's variance, but h is charged as a log-variance": lambda m, h: (
        0.5 * (m**2 + (2 * h).exp() - h)
    ),
    "a std is not squared where the variance is meant": lambda m, h: 0.5 * (m**2 + h - 2 * h.log()),
    "log(std) is not doubled where log(var) is meant": lambda m, h: 0.5 * (m**2 + h**2 - h.log()),
    "a log-variance is squared where it should be exponentiated": lambda m, h: 0.5 * (m**2 + h**2 - h),
    "the variance is not charged: mu^2 alone lets the noise die out": lambda m, h: 0.5 * m**2,
    "the mean is not squared": lambda m, h: 0.5 * (m + h.exp() - h),
    "the mean is not charged": lambda m, h: 0.5 * (h.exp() - h),
    "the log-variance term is missing (the entropy): the noise dies out": lambda m, h: 0.5 * (m**2 + h.exp()),
    "the exp(logvar) term is missing: the variance grows without bound": lambda m, h: 0.5 * (m**2 - h),
    "the sign of mu^2 is wrong": lambda m, h: 0.5 * (h.exp() - h - m**2),
    "the sign of exp(logvar) is wrong": lambda m, h: 0.5 * (m**2 - h.exp() - h),
    "the sign of logvar is wrong": lambda m, h: 0.5 * (m**2 + h.exp() + h),
    "one half is missing before mu^2": lambda m, h: m**2 + 0.5 * (h.exp() - h),
    "one half is missing before exp(logvar)": lambda m, h: 0.5 * (m**2 - h) + h.exp(),
    "one half is missing before logvar": lambda m, h: 0.5 * (m**2 + h.exp()) - h,
    "only logvar is halved": lambda m, h: m**2 + h.exp() - 0.5 * h,
}
