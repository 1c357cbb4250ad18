"""Likelihoods of grey levels as the numbers they are: x in {0, 1/n, ..., 1}, probabilities that sum to 1."""

from collections.abc import Sequence

import pyro.distributions as dist
from torch import Tensor

from elbolab import distributions
from elbolab.distributions import Levels, OnGrid, grid
from elbolab.networks import Network, bounded
from model.likelihoods.base import Likelihood


class Binomial(Likelihood):
    """p(x|z) = prod_i Binomial(n x_i; n, sigmoid(l_i(z))): Digits have n = 16."""

    support = grid(16)

    def __init__(self, latent: int, shape: Sequence[int], network: Network, *, steps: int = 16) -> None:
        """
        Args:
            steps: n, the number of grey levels less one.
        """
        super().__init__(latent, shape, network)
        self.steps = steps
        self.support = grid(steps)

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        (logits,) = self.decode(z)
        return OnGrid(dist.Binomial(self.steps, logits=logits), self.steps).to_event(self.event_dims)


class Categorical(Likelihood):
    """p(x|z) = prod_i softmax(l_i(z))[n x_i]: a free probability for every grey level, n = 255."""

    support = grid(255)

    def __init__(self, latent: int, shape: Sequence[int], network: Network, *, steps: int = 255) -> None:
        """
        Args:
            steps: n, the number of grey levels less one.
        """
        super().__init__(latent, shape, network, heads=steps + 1)
        self.steps = steps
        self.support = grid(steps)

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        logits = self.decoder(z).movedim(-self.event_dims - 1, -1)
        return OnGrid(Levels(logits=logits), self.steps).to_event(self.event_dims)


class DiscretizedLogistic(Likelihood):
    """p(x|z) = prod_i [F(x_i + h) - F(x_i - h)], F logistic with m_i(z), s_i(z), h = 1/2n (Salimans et al., 2017)."""

    support = grid(255)

    def __init__(self, latent: int, shape: Sequence[int], network: Network, *, steps: int = 255) -> None:
        """
        Args:
            steps: n, the number of grey levels less one.
        """
        super().__init__(latent, shape, network, heads=2)
        self.steps = steps
        self.support = grid(steps)

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        location, log_scale = self.decode(z)
        logistic = distributions.DiscretizedLogistic(location, bounded(log_scale, 7.0).exp(), self.steps)
        return logistic.to_event(self.event_dims)


class DiscretizedLogisticMixture(Likelihood):
    """p(x|z) = prod_i sum_c w_ic(z) P(x_i; m_ic(z), s_ic(z)), P the discretised logistic (Salimans et al., 2017)."""

    support = grid(255)

    def __init__(
        self, latent: int, shape: Sequence[int], network: Network, *, steps: int = 255, components: int = 5
    ) -> None:
        """
        Args:
            steps: n, the number of grey levels less one.
            components: logistics per pixel.
        """
        super().__init__(latent, shape, network, heads=3 * components)
        self.steps = steps
        self.support = grid(steps)

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        heads = self.decoder(z).movedim(-self.event_dims - 1, -1)
        logits, location, log_scale = heads.chunk(3, -1)
        parts = distributions.DiscretizedLogistic(location, bounded(log_scale, 7.0).exp(), self.steps)
        return dist.MixtureSameFamily(dist.Categorical(logits=logits), parts).to_event(self.event_dims)
