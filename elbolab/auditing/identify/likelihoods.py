"""The likelihoods that a loss is held against, and the mistakes in them that have a name.

Everything here is elementwise, in nats, and differentiable: a shape is recognised by its gradient, so that constants
do not matter. Where a constant belongs to a density, it is stated beside it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

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
    `slots` are the decoder's outputs that it takes, `nll` takes them, the data after the first, and the class axis.
    `constant(scale)` is what a density of that scale adds per element, where people leave it out; `shape` is what a
    Student's t has of its own: degrees of freedom times squared scale.
    """

    name: str
    takes: str
    nll: Callable[..., Tensor]
    mistake: str = ""
    constant: Callable[[float], float] | None = None
    slots: tuple[str, ...] = ("output",)
    note: str = ""
    shape: float = 0.0

    def gradients(self, outputs: Sequence[Tensor], x: Tensor, axis: int) -> list[Tensor]:
        """Those in each of the decoder's outputs, in the order of `slots`."""
        leaves = [output.detach().clone().requires_grad_() for output in outputs]
        return list(torch.autograd.grad(self.nll(leaves[0], x, axis, *leaves[1:]).sum(), leaves))

    def seeing(self, how: str, change: Callable[[Tensor], Tensor], of_output: bool = False) -> "Family":
        """The same for data, and perhaps an output, that the loss changes first."""
        nll = self.nll

        def changed(o: Tensor, x: Tensor, axis: int, *rest: Tensor) -> Tensor:
            return nll(change(o) if of_output else o, change(x), axis, *rest)

        return replace(self, nll=changed, note=how)


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


def _fitted(o: Tensor, x: Tensor, _: int) -> Tensor:
    """The Gaussian's nll where its variance is the mean squared error of the batch, its optimum."""
    return 0.5 * o.numel() * ((o - x) ** 2).mean().log()


FITTED = Family(name="gaussian", takes="location", nll=_fitted, note="its variance is fitted to each batch's error")
# What losses do to the data themselves, and to the output with them.
CHANGES: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("x / 255", lambda x: x / 255),
    ("(x + 1) / 2", lambda x: (x + 1) / 2),
    ("x > 0.5", lambda x: (x > 0.5).to(x.dtype)),
    ("2 x - 1", lambda x: 2 * x - 1),
    ("x / 127.5 - 1", lambda x: x / 127.5 - 1),
    ("x - 0.5", lambda x: x - 0.5),
    ("log(1 + x)", torch.log1p),
)
