"""Gaussian posteriors, from a diagonal covariance to a full one."""

from collections.abc import Sequence
from typing import Literal

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from torch import Tensor

from elbolab.networks import Network, bounded
from guide.posteriors.base import Posterior

Head = Literal["log_variance", "softplus"]


class DiagonalNormal(Posterior):
    """q(z|x) = N(m(x), diag(exp(s(x)))), with s the log-variance (Kingma and Welling, 2014, appendix C).

    head = log_variance: s = bound tanh(h / bound), the encoder's second output h itself near 0, within +-bound.
    head = softplus: the standard deviation is softplus(h), s its log-square, with the same limits.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int,
        network: Network,
        *,
        head: Head = "log_variance",
        bound: float = 15.0,
    ) -> None:
        """
        Args:
            head: what the encoder's second output is: the log-variance, or a standard deviation before softplus.
            bound: the log-variance stays within +-bound, so that nothing overflows in float32.
        """
        super().__init__(shape, latent, network, features=2 * latent)
        self.bound = bound
        self._log_variance = {"log_variance": self._bounded, "softplus": self._of_softplus}[head]

    def _bounded(self, h: Tensor) -> Tensor:
        return bounded(h, self.bound)

    def _of_softplus(self, h: Tensor) -> Tensor:
        # log softplus(h) tends to h itself far below 0, where softplus underflows.
        log_deviation = F.softplus(h.clamp(min=-20)).log() + (h + 20).clamp(max=0)
        return bounded(2 * log_deviation, self.bound)

    def location_and_log_variance(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """m and s, each of shape (*, latent)."""
        location, h = self.encoder(x).chunk(2, -1)
        return location, self._log_variance(h)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        location, log_variance = self.location_and_log_variance(x)
        return dist.Normal(location, (0.5 * log_variance).exp()).to_event(1)


class FullNormal(Posterior):
    """q(z|x) = N(m(x), L(x) L(x)^T), L lower triangular with a positive diagonal: every covariance there is."""

    def __init__(self, shape: Sequence[int], latent: int, network: Network) -> None:
        super().__init__(shape, latent, network, features=2 * latent + latent * (latent - 1) // 2)
        self.register_buffer("below", torch.tril_indices(latent, latent, -1), persistent=False)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        location, log_variance, entries = self.encoder(x).split([self.latent, self.latent, self.below.shape[1]], -1)
        diagonal = (0.5 * bounded(log_variance)).exp()
        row, column = self.below
        triangle = torch.diag_embed(diagonal)
        # In units of the row's scale: how a coordinate leans on the others is then independent of its scale.
        triangle[..., row, column] = bounded(entries) * diagonal[..., row]
        return dist.MultivariateNormal(location, scale_tril=triangle)


class LowRankNormal(Posterior):
    """q(z|x) = N(m(x), W(x) W(x)^T + diag(exp(s(x)))), W with `rank` columns."""

    def __init__(self, shape: Sequence[int], latent: int, network: Network, *, rank: int = 2) -> None:
        """
        Args:
            rank: columns of W, directions in which the latents may vary together.
        """
        if rank < 1:
            raise ValueError(f"rank = {rank}: at least one direction; without any it is DiagonalNormal")
        super().__init__(shape, latent, network, features=(2 + rank) * latent)
        self.rank = rank

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        location, log_variance, factor = self.encoder(x).split([self.latent, self.latent, self.rank * self.latent], -1)
        variance = bounded(log_variance).exp()
        # In units of the diagonal: the covariance's condition then stays within what float32 can factorise.
        scaled = bounded(factor).unflatten(-1, (self.latent, self.rank)) * variance.sqrt()[..., None]
        return dist.LowRankMultivariateNormal(location, scaled, variance)
