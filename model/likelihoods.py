"""p(x|z): modules whose `forward(z)` returns a distribution over one datum.

z has shape (*, latent); the distribution has batch shape (*) and the datum's shape as event shape. A likelihood takes
the latent dimension, the datum's shape and the network family; its other arguments are keyword-only and are its
configuration. `heads` says how many numbers per coordinate the decoder gives it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pyro.distributions as dist
from pyro.distributions import constraints
from torch import Tensor, nn

from model.networks import Network


class Likelihood(nn.Module, ABC):
    """The contract: `forward(z)` returns p(x|z); `support` is the constraint that each coordinate of x must satisfy."""

    support: constraints.Constraint
    heads: int = 1

    def __init__(self, latent: int, shape: Sequence[int], network: Network) -> None:
        super().__init__()
        self.event_dims = len(shape)
        self.decoder = network.decoder(latent, (self.heads, *shape))

    def decode(self, z: Tensor) -> tuple[Tensor, ...]:
        """Maps z of shape (*, latent) to `heads` tensors of shape (*, *datum)."""
        return self.decoder(z).unbind(-self.event_dims - 1)

    @abstractmethod
    def forward(self, z: Tensor) -> dist.Distribution:
        """Returns the distribution."""


class Bernoulli(Likelihood):
    """p(x|z) = prod_i Bernoulli(x_i; sigmoid(l_i(z))), for data in {0, 1}.

    The decoder gives logits, never probabilities: -log p(x|z) is then `binary_cross_entropy_with_logits`, exact and
    with a gradient for every logit, where a sigmoid would saturate in float32.
    """

    support = constraints.boolean

    def forward(self, z: Tensor) -> dist.Distribution:
        (logits,) = self.decode(z)
        return dist.Bernoulli(logits=logits).to_event(self.event_dims)
