"""The contract of a posterior."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pyro.distributions as dist
from pyro.distributions import constraints
from torch import Tensor, nn

from elbolab.networks import Network


class Posterior(nn.Module, ABC):
    """q(z|x) for a batch of data.

    A posterior takes the datum's shape, the latent dimension and the network family; its other arguments are
    keyword-only and are its configuration. `features` is how many numbers per datum it asks of the encoder. `support`
    is where z lies; the prior's has to be the same. `scores_any` says whether log q is known at any z, or only at a z
    that the posterior has just drawn.
    """

    support: constraints.Constraint = constraints.real_vector
    scores_any = True

    def __init__(self, shape: Sequence[int], latent: int, network: Network, *, features: int) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = network.encoder(shape, features)

    @abstractmethod
    def forward(self, x: Tensor) -> dist.TorchDistribution:
        """Returns q(z|x) for x of shape (batch, *datum)."""
