"""A prior of two levels."""

import pyro.distributions as dist
import torch
from torch import Tensor

from elbolab.distributions import Chain
from elbolab.networks import bounded, mlp
from model.priors.base import Prior


class TwoLevel(Prior):
    """p(z) = p(z2) p(z1|z2), z2 ~ N(0, I), z1 ~ N(m(z2), diag(exp(s(z2)))), z = (z1, z2); x depends on z1 alone.

    The guide to match is TwoLevelNormal (Burda et al., 2016, Importance Weighted Autoencoders, two stochastic layers).
    """

    def __init__(self, latent: int, *, top: int | None = None, hidden: int = 100) -> None:
        """
        Args:
            top: dimensions of z2; half of the latents if left out.
            hidden: width of the network between the levels.
        """
        super().__init__(latent)
        top = latent // 2 if top is None else top
        if not 0 < top < latent:
            raise ValueError(f"top = {top} of latent = {latent}: both levels have at least one dimension")
        self.sizes = (top, latent - top)
        self.seen = latent - top
        self.network = mlp([top, hidden, 2 * self.seen], "tanh")
        self.register_buffer("location", torch.zeros(top))
        self.register_buffer("scale", torch.ones(top))

    def _lower(self, upper: Tensor) -> dist.TorchDistribution:
        location, log_variance = self.network(upper).chunk(2, -1)
        return dist.Normal(location, (0.5 * bounded(log_variance)).exp()).to_event(1)

    def forward(self) -> dist.TorchDistribution:
        return Chain(dist.Normal(self.location, self.scale).to_event(1), self._lower, self.sizes, reverse=True)
