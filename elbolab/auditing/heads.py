"""The second heads of an encoder: one record each, with the variance that it stands for and the code that goes with it.

Whatever has to know what a head is, asks here: the KLs, the samplers, the roles, the names, the advice, the algebra.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Algebra = Any  # torch or sympy: what `exp`, `log` and `sqrt` are taken from


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the second output of an encoder means: `variance(h, torch)` is that of q(z|x), and of a symbol with sympy.

    Args:
        real: it may be any number; else it is positive.
        neutral: where the variance is 1.
        named: the names under which nobody is surprised to find it; the whole name, in lower case.
        role: can it be named as a role by the caller?
        kl: its KL to N(0, 1), elementwise, as a line of PyTorch, for an encoder's output called {h}.
        deviation: its standard deviation as PyTorch.
    """

    name: str
    variance: Callable[[Any, Algebra], Any]
    real: bool
    neutral: float
    named: str
    kl: str
    deviation: str
    role: bool = False

    def at(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """v(h) and dv/dh."""
        leaf = h.detach().clone().requires_grad_()
        v = self.variance(leaf, torch)
        return v.detach(), torch.autograd.grad(v.sum(), leaf)[0]

    def surprises(self, name: str) -> bool:
        """Does a parameter's name say something else?"""
        return not re.fullmatch(self.named, plain(name))

    def kl_code(self, h: str) -> str:
        return self.kl.format(h=h)

    def sampler_code(self, h: str) -> str:
        return f"mu + {self.deviation.format(h=h)} * torch.randn_like(mu)"


def _softplus(h: Any, of: Algebra) -> Any:
    return of.log(1 + of.exp(h))


_SOFTPLUS = math.log(math.e - 1)
_LOGVAR = "-0.5 * (1 + {h} - mu**2 - {h}.exp())"
_ALL = (
    Head(
        name="logvar",
        variance=lambda h, of: of.exp(h),
        real=True,
        neutral=0.0,
        named=r".*(log_?_?var|log_?sigma_?(2|sq)|log_?s2|lnvar|_lv).*|lv|log_?v",
        kl=_LOGVAR,
        deviation="(0.5 * {h}).exp()",
        role=True,
    ),
    Head(
        name="logstd",
        variance=lambda h, of: of.exp(2 * h),
        real=True,
        neutral=0.0,
        named=r".*log_?_?(std|sigma|sd|scale|stddev|s)",
        kl="0.5 * (mu**2 + (2 * {h}).exp() - 1) - {h}",
        deviation="{h}.exp()",
        role=True,
    ),
    Head(
        name="std",
        variance=lambda h, _: h * h,
        real=False,
        neutral=1.0,
        named=r"(?!.*log).*(std|sigma|sd|scale).*",
        kl="0.5 * (mu**2 + {h}**2 - 1) - {h}.log()",
        deviation="{h}",
        role=True,
    ),
    Head(
        name="var",
        variance=lambda h, _: h,
        real=False,
        neutral=1.0,
        named=r"(?!.*log).*(var|sigma_?(2|sq)).*",
        kl="0.5 * (mu**2 + {h} - 1 - {h}.log())",
        deviation="{h}.sqrt()",
        role=True,
    ),
    Head(
        name="softplus std",
        variance=lambda h, of: _softplus(h, of) ** 2,
        real=True,
        neutral=_SOFTPLUS,
        named="softplus.*",
        kl="0.5 * (mu**2 + F.softplus({h})**2 - 1) - F.softplus({h}).log()",
        deviation="F.softplus({h})",
    ),
    Head(
        name="softplus var",
        variance=_softplus,
        real=True,
        neutral=_SOFTPLUS,
        named="softplus.*",
        kl="0.5 * (mu**2 + F.softplus({h}) - 1 - F.softplus({h}).log())",
        deviation="F.softplus({h}).sqrt()",
    ),
    Head(
        name="logprecision",
        variance=lambda h, of: of.exp(-h),
        real=True,
        neutral=0.0,
        named=".*log_?(prec|tau|lambda).*",
        kl="0.5 * (mu**2 + (-{h}).exp() - 1 + {h})",
        deviation="(-0.5 * {h}).exp()",
    ),
    Head(
        name="precision",
        variance=lambda h, _: 1 / h,
        real=False,
        neutral=1.0,
        named="(?!.*log).*(prec|tau).*",
        kl="0.5 * (mu**2 + 1 / {h} - 1 + {h}.log())",
        deviation="{h}.rsqrt()",
    ),
)
HEADS: dict[str, Head] = {head.name: head for head in _ALL}
ROLES = tuple(head.name for head in _ALL if head.role)


def kl(head: str, mu: Tensor, h: Tensor) -> Tensor:
    """KL(N(mu, v(h)) || N(0, 1)) = (mu^2 + v - 1 - log v) / 2, elementwise."""
    v = HEADS[head].variance(h, torch)
    return 0.5 * (mu**2 + v - 1 - v.log())


def claimed(name: str) -> str | None:
    """The head that a parameter's name states, if it does: `z_log_var` is a logvar; `s` states nothing."""
    return next((head for head in ROLES if not HEADS[head].surprises(name)), None)


def plain(name: str) -> str:
    """A name in lower case with underscores: logVar is log_var."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().strip("_")
