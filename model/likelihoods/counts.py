"""Likelihoods of counts."""

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor, nn

from elbolab.distributions import BagOfWords
from elbolab.networks import Network, bounded
from model.likelihoods.base import Likelihood


class Poisson(Likelihood):
    """p(x|z) = prod_i Poisson(x_i; exp(l_i(z)))."""

    support = constraints.nonnegative_integer

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        (log_rate,) = self.decode(z)
        return dist.Poisson(bounded(log_rate).exp()).to_event(self.event_dims)


class NegativeBinomial(Likelihood):
    """p(x|z) = prod_i NB(x_i) with mean exp(l_i(z)) and variance mean + mean^2 / r_i, r learned per coordinate."""

    support = constraints.nonnegative_integer

    def __init__(self, latent: int, shape: Sequence[int], network: Network, *, heads: int = 1) -> None:
        super().__init__(latent, shape, network, heads=heads)
        self.log_dispersion = nn.Parameter(torch.zeros(tuple(shape)))

    def _counts(self, log_mean: Tensor) -> tuple[Tensor, Tensor]:
        """r and the logits log(mean / r)."""
        log_dispersion = bounded(self.log_dispersion, 7.0)
        logits = bounded(log_mean) - log_dispersion
        return log_dispersion.exp().expand_as(logits), logits

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        (log_mean,) = self.decode(z)
        dispersion, logits = self._counts(log_mean)
        return dist.NegativeBinomial(dispersion, logits=logits).to_event(self.event_dims)


class ZeroInflatedNegativeBinomial(NegativeBinomial):
    """p(x|z) = prod_i [g_i(z) 1(x_i = 0) + (1 - g_i(z)) NB(x_i)]: some counts are lost (Lopez et al., 2018)."""

    def __init__(self, latent: int, shape: Sequence[int], network: Network) -> None:
        super().__init__(latent, shape, network, heads=2)

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        log_mean, gate = self.decode(z)
        dispersion, logits = self._counts(log_mean)
        gate = bounded(gate)
        return dist.ZeroInflatedNegativeBinomial(dispersion, logits=logits, gate_logits=gate).to_event(self.event_dims)


class Multinomial(Likelihood):
    """p(x|z, N) = N! / prod_i x_i! prod_i softmax(l(z))_i^x_i: a bag of N words, N the datum's own total.

    Lengths are given, not modelled; a sample has as many words as the longest datum.
    """

    support = constraints.independent(constraints.nonnegative_integer, 1)

    def __init__(self, latent: int, shape: Sequence[int], network: Network) -> None:
        super().__init__(latent, shape, network)
        if len(shape) != 1:
            raise ValueError(f"Multinomial is for bags of words, data of shape (words,), not {tuple(shape)}")
        self.register_buffer("longest", torch.ones((), dtype=torch.long))

    def prepare(self, x: Tensor) -> None:
        self.longest.fill_(max(int(self.longest), int(x.sum(-1).max())))

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        (logits,) = self.decode(z)
        return BagOfWords(int(self.longest), logits=logits, validate_args=False)
