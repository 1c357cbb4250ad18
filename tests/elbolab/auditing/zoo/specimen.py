"""Losses as they are found in the wild, each written here from its formula, with what the audit has to say of it.

`beta` and `sigma2` are those at 100 data of 784 numbers and 2 latents, where they depend on the sizes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

ZOO: dict[str, "Specimen"] = {}


@dataclass(frozen=True)
class Specimen:
    loss: Callable[..., Any]
    kind: str
    roles: tuple[Any, ...] | None = None
    reparameterize: Callable[..., Any] | None = None
    output: Any = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, Any] = field(default_factory=dict)
    says: str = ""


def specimen(kind, *, roles=None, reparameterize=None, output=None, kwargs=None, says="", **expected):
    def collect(loss):
        assert loss.__name__ not in ZOO
        given = roles.split() if isinstance(roles, str) else roles
        ZOO[loss.__name__] = Specimen(
            loss, kind, given and tuple(given), reparameterize, output, kwargs or {}, expected, says
        )
        return loss

    return collect


def bce(probs, x):
    return F.binary_cross_entropy(probs, x, reduction="none").flatten(1)


def bcel(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1)


def kld(mu, logvar):
    return -0.5 * (1 + logvar - mu.pow(2) - logvar.exp())


def half_exp(mu, logvar):
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(logvar)


PROBS, LOGITS, MEAN = "probs x mu logvar", "logits x mu logvar", "mean x mu logvar"


def normal_log_density(z, mu, logvar):
    return -0.5 * (math.log(2 * math.pi) + logvar + (z - mu) ** 2 / logvar.exp()).sum(1)


def summed(mu, logvar):
    return kld(mu, logvar).sum()
