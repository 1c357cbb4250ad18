"""Priors over real vectors, coordinate by coordinate or as a mixture."""

import pyro.distributions as dist
import torch
from torch import nn

from model.priors.base import Prior


class StandardNormal(Prior):
    """p(z) = N(0, I)."""

    def __init__(self, latent: int) -> None:
        super().__init__(latent)
        # Buffers, so that `.to(device, dtype)` carries the prior along.
        self.register_buffer("location", torch.zeros(latent))
        self.register_buffer("scale", torch.ones(latent))

    def forward(self) -> dist.TorchDistribution:
        return dist.Normal(self.location, self.scale).to_event(1)


class Normal(Prior):
    """p(z) = N(m, diag(exp(2 r))), m and r learned."""

    def __init__(self, latent: int) -> None:
        super().__init__(latent)
        self.location = nn.Parameter(torch.zeros(latent))
        self.log_scale = nn.Parameter(torch.zeros(latent))

    def forward(self) -> dist.TorchDistribution:
        return dist.Normal(self.location, self.log_scale.exp()).to_event(1)


class Laplace(Prior):
    """p(z) = prod_j Laplace(z_j; 0, b), of variance 1: sharper at 0 and heavier in the tails than a Normal."""

    def __init__(self, latent: int) -> None:
        super().__init__(latent)
        self.register_buffer("location", torch.zeros(latent))
        self.register_buffer("scale", torch.full((latent,), 0.5**0.5))

    def forward(self) -> dist.TorchDistribution:
        return dist.Laplace(self.location, self.scale).to_event(1)


class StudentT(Prior):
    """p(z) = prod_j StudentT(z_j; df, 0, 1), with tails that fall like a power."""

    def __init__(self, latent: int, *, df: float = 5.0) -> None:
        """
        Args:
            df: degrees of freedom; the fewer, the heavier the tails.
        """
        super().__init__(latent)
        if not df > 0:
            raise ValueError(f"df = {df}: degrees of freedom are positive")
        self.register_buffer("df", torch.full((latent,), df))

    def forward(self) -> dist.TorchDistribution:
        return dist.StudentT(self.df, torch.zeros_like(self.df), torch.ones_like(self.df)).to_event(1)


class Mixture(Prior):
    """p(z) = sum_c w_c N(z; m_c, diag(exp(2 r_c))): a Gaussian mixture, all of it learned."""

    def __init__(self, latent: int, *, components: int = 10) -> None:
        """
        Args:
            components: how many Gaussians.
        """
        super().__init__(latent)
        if components < 1:
            raise ValueError(f"components = {components}: a mixture has at least one")
        self.logits = nn.Parameter(torch.zeros(components))
        # Apart from each other, or all would get the same gradient for ever.
        self.location = nn.Parameter(torch.randn(components, latent))
        self.log_scale = nn.Parameter(torch.zeros(components, latent))

    def forward(self) -> dist.TorchDistribution:
        parts = dist.Normal(self.location, self.log_scale.exp()).to_event(1)
        return dist.MixtureSameFamily(dist.Categorical(logits=self.logits), parts)
