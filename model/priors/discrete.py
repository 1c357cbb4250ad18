"""Priors over bits and categories, and over their relaxations; the logits are learned unless it is said."""

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import nn

from elbolab import distributions
from model.priors.base import Prior


class Bernoulli(Prior):
    """p(z) = prod_j Bernoulli(z_j; sigmoid(l_j)): bits."""

    support = constraints.boolean

    def __init__(self, latent: int, *, learned: bool = True) -> None:
        """
        Args:
            learned: whether the logits are; else they stay 0, and every code has the same probability.
        """
        super().__init__(latent)
        self.logits = nn.Parameter(torch.zeros(latent), requires_grad=learned)

    def forward(self) -> dist.TorchDistribution:
        return dist.Bernoulli(logits=self.logits).to_event(1)


class OneHot(Prior):
    """p(z) = Categorical(z; softmax(l)), z the one-hot code of one of `latent` categories."""

    support = constraints.one_hot

    def __init__(self, latent: int) -> None:
        super().__init__(latent)
        self.logits = nn.Parameter(torch.zeros(latent))

    def forward(self) -> dist.TorchDistribution:
        return dist.OneHotCategorical(logits=self.logits)


class RelaxedBernoulli(Prior):
    """p(z) = prod_j BinaryConcrete(z_j; l_j, t) on (0, 1): bits relaxed (Maddison, Mnih and Teh, 2017)."""

    support = constraints.unit_interval

    def __init__(self, latent: int, *, temperature: float = 0.5) -> None:
        """
        Args:
            temperature: towards 0 the relaxation becomes the bits.
        """
        super().__init__(latent)
        self.logits = nn.Parameter(torch.zeros(latent))
        self.register_buffer("temperature", _positive(temperature))

    def forward(self) -> dist.TorchDistribution:
        return dist.RelaxedBernoulli(self.temperature, logits=self.logits).to_event(1)


class RelaxedOneHot(Prior):
    """p(z) = Concrete(z; l, t) on the simplex: a category relaxed (Maddison, Mnih and Teh, 2017; Jang et al., 2017)."""

    support = constraints.simplex

    def __init__(self, latent: int, *, temperature: float = 0.5) -> None:
        """
        Args:
            temperature: towards 0 the relaxation becomes the one-hot code.
        """
        super().__init__(latent)
        self.logits = nn.Parameter(torch.zeros(latent))
        self.register_buffer("temperature", _positive(temperature))

    def forward(self) -> dist.TorchDistribution:
        return distributions.RelaxedOneHot(self.temperature, logits=self.logits)


def _positive(temperature: float) -> torch.Tensor:
    if not temperature > 0:
        raise ValueError(f"temperature = {temperature}: a relaxation's temperature is positive")
    return torch.tensor(temperature)
