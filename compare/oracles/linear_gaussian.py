"""The linear-Gaussian VAE: everything about it is a formula."""

import math
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor


@dataclass(frozen=True)
class LinearGaussian:
    """z ~ N(0, I), x|z ~ N(W z + b, v I), q(z|x) = N(V x + c, diag(d)) (Tipping and Bishop, 1999; Lucas et al., 2019).

    W of shape (datum, latent), V of shape (latent, datum); every result of shape (batch,), in nats.
    """

    weight: Tensor
    offset: Tensor
    variance: Tensor
    encoder: Tensor
    encoder_offset: Tensor
    encoder_variance: Tensor

    @classmethod
    def example(cls, datum: int = 6, latent: int = 3) -> "LinearGaussian":
        """Some parameters, float64, from PyTorch's generator; the guide is not the posterior."""
        draw = torch.randn(2 * datum * latent + datum + latent, dtype=torch.float64)
        w, v, b, c = draw.split([datum * latent, datum * latent, datum, latent])
        return cls(
            w.reshape(datum, latent),
            b,
            torch.tensor(0.5, dtype=torch.float64),
            0.3 * v.reshape(latent, datum),
            c,
            torch.rand(latent, dtype=torch.float64) + 0.2,
        )

    def location(self, x: Tensor) -> Tensor:
        """The mean of q(z|x), shape (batch, latent)."""
        return x @ self.encoder.T + self.encoder_offset

    def posterior(self, x: Tensor) -> dist.MultivariateNormal:
        """p(z|x) = N(C W^T (x - b), v C), C = (W^T W + v I)^-1."""
        precision = self.weight.T @ self.weight + self.variance * torch.eye(self.weight.shape[1]).to(x)
        inverse = torch.linalg.inv(precision)
        return dist.MultivariateNormal((x - self.offset) @ self.weight @ inverse.T, self.variance * inverse)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x) = log N(x; b, W W^T + v I)."""
        covariance = self.weight @ self.weight.T + self.variance * torch.eye(len(self.offset)).to(x)
        return dist.MultivariateNormal(self.offset, covariance).log_prob(x)

    def expected_log_likelihood(self, x: Tensor) -> Tensor:
        """E_q[log p(x|z)] = -D/2 log(2 pi v) - [|x - b - W m|^2 + sum_j d_j |W_j|^2] / (2 v)."""
        rest = (x - self.offset - self.location(x) @ self.weight.T).square().sum(-1)
        spread = (self.encoder_variance * self.weight.square().sum(0)).sum()
        return -0.5 * len(self.offset) * (2 * math.pi * self.variance).log() - (rest + spread) / (2 * self.variance)

    def expected_log_prior(self, x: Tensor) -> Tensor:
        """E_q[log p(z)]."""
        second = self.location(x).square() + self.encoder_variance
        return -0.5 * (math.log(2 * math.pi) + second).sum(-1)

    def entropy(self) -> Tensor:
        """H(q), the same for every datum."""
        return 0.5 * (1 + math.log(2 * math.pi) + self.encoder_variance.log()).sum()

    def guide_distribution(self, x: Tensor) -> dist.TorchDistribution:
        return dist.Normal(self.location(x), self.encoder_variance.sqrt()).to_event(1)

    def model(self, x: Tensor) -> None:
        """p(x, z) as a Pyro program."""
        with pyro.plate("batch", len(x)):
            zero = torch.zeros_like(self.encoder_offset)
            z = pyro.sample("z", dist.Normal(zero, zero + 1).to_event(1))
            mean = z @ self.weight.T + self.offset
            pyro.sample("x", dist.Normal(mean, self.variance.sqrt()).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        """q(z|x) as a Pyro program."""
        with pyro.plate("batch", len(x)):
            pyro.sample("z", self.guide_distribution(x))
