"""The contract of a prior."""

from abc import ABC, abstractmethod

import pyro.distributions as dist
from pyro.distributions import constraints
from torch import Tensor, nn


class Prior(nn.Module, ABC):
    """p(z) over one latent vector.

    A prior takes the latent dimension first; its other arguments are keyword-only and are its configuration.
    `support` is where z lies; the guide's has to be the same. `seen` is how many leading coordinates of z the
    likelihood sees: all of them, but in a hierarchy.
    """

    support: constraints.Constraint = constraints.real_vector

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.seen = latent

    def prepare(self, posterior: nn.Module, x: Tensor) -> None:  # noqa: B027
        """Called once, before training, with the guide's posterior and the training data."""

    @abstractmethod
    def forward(self) -> dist.TorchDistribution:
        """Returns p(z): batch shape (), event shape (latent,)."""
