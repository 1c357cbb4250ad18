"""Likelihoods of pixels: bits, and grey levels as real numbers."""

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor, nn

from elbolab.distributions import open_unit_interval
from elbolab.networks import Network, bounded
from model.likelihoods.base import Likelihood


class Bernoulli(Likelihood):
    """p(x|z) = prod_i Bernoulli(x_i; sigmoid(l_i(z))), for data in {0, 1}.

    The decoder gives logits, never probabilities: -log p(x|z) is then `binary_cross_entropy_with_logits`, exact and
    with a gradient for every logit, where a sigmoid would saturate in float32.
    """

    support = constraints.boolean

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        (logits,) = self.decode(z)
        return dist.Bernoulli(logits=logits).to_event(self.event_dims)


class ContinuousBernoulli(Likelihood):
    """p(x|z) = prod_i C(l_i) y_i^x_i (1 - y_i)^(1 - x_i), y = sigmoid(l(z)), a density on [0, 1].

    What the Bernoulli formula needs to be a density for grey levels (Loaiza-Ganem and Cunningham, 2019).
    """

    support = constraints.unit_interval

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        (logits,) = self.decode(z)
        return dist.ContinuousBernoulli(logits=bounded(logits)).to_event(self.event_dims)


class _LocationScale(Likelihood):
    """A location per coordinate from the decoder, and one scale for all of them, fixed or learned."""

    support = constraints.real
    family: type[dist.TorchDistribution]

    def __init__(
        self, latent: int, shape: Sequence[int], network: Network, *, scale: float = 0.3, learned: bool = False
    ) -> None:
        """
        Args:
            scale: of every coordinate, where it starts if it is learned.
            learned: whether the scale is learned.
        """
        super().__init__(latent, shape, network)
        if not scale > 0:
            raise ValueError(f"scale = {scale}: a scale is positive")
        log_scale = torch.tensor(scale).log()
        if learned:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        (location,) = self.decode(z)
        return self.family(location, bounded(self.log_scale, 7.0).exp()).to_event(self.event_dims)


class Normal(_LocationScale):
    """p(x|z) = prod_i N(x_i; m_i(z), scale^2): squared error / (2 scale^2) plus a constant."""

    family = dist.Normal


class Laplace(_LocationScale):
    """p(x|z) = prod_i Laplace(x_i; m_i(z), scale): absolute error / scale plus a constant."""

    family = dist.Laplace


class HeteroscedasticNormal(Likelihood):
    """p(x|z) = prod_i N(x_i; m_i(z), (floor + exp(r_i(z)))^2), a scale for every pixel from the decoder."""

    support = constraints.real

    def __init__(self, latent: int, shape: Sequence[int], network: Network, *, floor: float = 0.01) -> None:
        """
        Args:
            floor: added to every scale; without one, a pixel that never varies has an infinite density.
        """
        super().__init__(latent, shape, network, heads=2)
        if not floor > 0:
            raise ValueError(f"floor = {floor}: the least scale is positive")
        self.floor = floor

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        location, log_scale = self.decode(z)
        return dist.Normal(location, self.floor + bounded(log_scale, 7.0).exp()).to_event(self.event_dims)


class Beta(Likelihood):
    """p(x|z) = prod_i Beta(x_i; a_i(z), b_i(z)), for data strictly between 0 and 1 (dequantised grey levels)."""

    support = open_unit_interval

    def __init__(self, latent: int, shape: Sequence[int], network: Network) -> None:
        super().__init__(latent, shape, network, heads=2)

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        a, b = (bounded(head, 7.0).exp() for head in self.decode(z))
        return dist.Beta(a, b).to_event(self.event_dims)
