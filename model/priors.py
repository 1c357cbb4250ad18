"""p(z): modules whose `forward()` returns a distribution with batch shape () and event shape (latent,).

A prior takes the latent dimension first; its other arguments are keyword-only and are its configuration.
"""

from abc import ABC, abstractmethod

import pyro.distributions as dist
import torch
from torch import nn


class Prior(nn.Module, ABC):
    """The contract: `forward()` returns p(z) as a Pyro distribution over one latent vector."""

    @abstractmethod
    def forward(self) -> dist.Distribution:
        """Returns the distribution."""


class StandardNormal(Prior):
    """p(z) = N(0, I)."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        # Buffers, so that `.to(device, dtype)` carries the prior along.
        self.register_buffer("loc", torch.zeros(latent))
        self.register_buffer("scale", torch.ones(latent))

    def forward(self) -> dist.Distribution:
        return dist.Normal(self.loc, self.scale).to_event(1)
