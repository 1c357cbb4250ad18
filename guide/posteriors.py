"""q(z|x): modules whose `forward(x)` returns a distribution with batch shape (batch,) and event shape (latent,).

A posterior takes the datum's shape, the latent dimension and the network family; its other arguments are keyword-only
and are its configuration. `heads` says how many numbers per latent the encoder gives it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from model.networks import Network


class Posterior(nn.Module, ABC):
    """The contract: `forward(x)` returns q(z|x) for data x of shape (batch, *datum)."""

    heads: int

    def __init__(self, shape: Sequence[int], latent: int, network: Network) -> None:
        super().__init__()
        self.encoder = network.encoder(shape, self.heads * latent)

    def encode(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps x of shape (*, *datum) to `heads` tensors of shape (*, latent)."""
        return self.encoder(x).chunk(self.heads, -1)

    @abstractmethod
    def forward(self, x: Tensor) -> dist.Distribution:
        """Returns the distribution."""


class DiagonalNormal(Posterior):
    """q(z|x) = N(m(x), diag(exp(s(x)))), with the log-variance s as the second head.

    s = bound * tanh(head / bound) is the head itself near 0 and never leaves (-bound, bound): exp(s) can then neither
    overflow nor vanish in float32, and the gradient stays finite (Kingma and Welling, 2014, Auto-Encoding Variational
    Bayes, appendix C; the bound is ours).
    """

    heads = 2

    def __init__(self, shape: Sequence[int], latent: int, network: Network, *, bound: float = 15.0) -> None:
        """
        Args:
            bound: the log-variance stays within +-bound.
        """
        super().__init__(shape, latent, network)
        self.bound = bound

    def location_and_log_variance(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The two heads m and s, each of shape (*, latent)."""
        location, head = self.encode(x)
        return location, self.bound * torch.tanh(head / self.bound)

    def forward(self, x: Tensor) -> dist.Distribution:
        location, log_variance = self.location_and_log_variance(x)
        return dist.Normal(location, (0.5 * log_variance).exp()).to_event(1)
