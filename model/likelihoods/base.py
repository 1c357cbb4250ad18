"""The contract of a likelihood."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pyro.distributions as dist
from pyro.distributions import constraints
from torch import Tensor, nn

from elbolab.networks import Network


class Likelihood(nn.Module, ABC):
    """p(x|z) over one datum.

    A likelihood takes the dimensions of z that it sees, the datum's shape and the network family; its other arguments
    are keyword-only and are its configuration. `heads` says how many numbers per coordinate the decoder gives it,
    `support` is the constraint that each coordinate of x (or x as a whole) must satisfy.
    """

    support: constraints.Constraint

    def __init__(self, latent: int, shape: Sequence[int], network: Network, *, heads: int = 1) -> None:
        super().__init__()
        self.event_dims = len(shape)
        self.heads = heads
        self.decoder = network.decoder(latent, (heads, *shape))

    def prepare(self, x: Tensor) -> None:  # noqa: B027
        """Called before training with each split of the data, for a likelihood whose constants come from them."""

    def decode(self, z: Tensor) -> tuple[Tensor, ...]:
        """Maps z of shape (*, latent) to `heads` tensors of shape (*, *datum)."""
        return self.decoder(z).unbind(-self.event_dims - 1)

    @abstractmethod
    def forward(self, z: Tensor) -> dist.TorchDistribution:
        """Returns p(x|z): batch shape (*), event shape the datum's."""
