"""The linear-Gaussian VAE: everything about it is a formula."""

import math
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from elbolab.oracles.quadrature import expected_log_mean, expected_log_normal, left_sum, normal_nodes

_POINTS = {1: 400, 2: 60}  # quadrature nodes per latent


class LinearGaussian:
    """z ~ N(0, I), x|z ~ N(W z + b, v I), q(z|x) = N(V x + c, diag(d)) (Tipping and Bishop, 1999; Lucas et al., 2019).

    W of shape (datum, latent), V of shape (latent, datum); the parameters are W, b, log v, V, c and log d, float64.
    Methods of x serve any data, those without are for the data in `x`; every result of shape (batch,), in nats.
    """

    def __init__(self, datum: int = 6, latent: int = 3, batch: int = 2, *, seed: int | None = 0) -> None:
        """Some parameters; the guide is not the posterior.

        Args:
            datum, latent: dimensions.
            batch: how many data there are in `x`.
            seed: of the parameters; None: from PyTorch's generator.
        """
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        draw = torch.randn(2 * datum * latent + datum + latent, dtype=torch.float64, generator=generator)
        w, v, b, c = draw.split([datum * latent, datum * latent, datum, latent])
        d = torch.rand(latent, dtype=torch.float64, generator=generator) + 0.2
        self._model = _LinearModel(w.reshape(datum, latent), b, torch.tensor(0.5, dtype=torch.float64))
        self._guide = _LinearGuide(0.3 * v.reshape(latent, datum), c, d)
        self.x = torch.randn(batch, datum, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    @classmethod
    def example(cls, datum: int = 6, latent: int = 3) -> "LinearGaussian":
        """With parameters from PyTorch's generator."""
        return cls(datum, latent, seed=None)

    @property
    def model(self) -> nn.Module:
        """p(x, z) as a Pyro program."""
        return self._model

    @property
    def guide(self) -> nn.Module:
        """q(z|x) as a Pyro program."""
        return self._guide

    @property
    def weight(self) -> Tensor:
        return self._model.weight

    @property
    def offset(self) -> Tensor:
        return self._model.offset

    @property
    def variance(self) -> Tensor:
        return self._model.log_variance.exp()

    @property
    def encoder_variance(self) -> Tensor:
        return self._guide.log_variance.exp()

    def location(self, x: Tensor) -> Tensor:
        """The mean of q(z|x), shape (batch, latent)."""
        return self._guide.location(x)

    def guide_distribution(self, x: Tensor) -> dist.TorchDistribution:
        return self._guide.posterior(x)

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

    def elbo(self) -> Tensor:
        return self.expected_log_likelihood(self.x) + self.expected_log_prior(self.x) + self.entropy()

    def iwae(self, particles: int, alpha: float = 0.0) -> Tensor:
        """By quadrature over z, for two latents at most; with alpha the VR-IWAE bound."""
        if particles == 1:
            return self.elbo()
        log_weight, log_measure = self._nodes()
        return expected_log_mean((1 - alpha) * log_weight, log_measure, particles) / (1 - alpha)

    def thermodynamic(self, betas: Sequence[float]) -> Tensor:
        """By quadrature too."""
        log_weight, log_measure = self._nodes()
        return left_sum(log_weight, log_measure[:, None], betas)

    def _nodes(self) -> tuple[Tensor, Tensor]:
        """log w at nodes, (nodes, batch), and the log of what every node stands for."""
        latent = self.weight.shape[1]
        if latent not in _POINTS:
            raise NotImplementedError("the multi-sample bound is an integral over z: two latents at most")
        nodes, log_measure = normal_nodes(_POINTS[latent], latent)
        q = self.guide_distribution(self.x)
        z = q.mean + q.stddev * nodes[:, None]
        log_p = self._model.prior().log_prob(z) + self._model.likelihood(z).log_prob(self.x)
        return log_p - q.log_prob(z), log_measure

    def wake(self) -> Tensor:
        p = self.posterior(self.x)
        terms = expected_log_normal(p.mean.detach(), p.variance.detach(), self.guide_distribution(self.x).base_dist)
        return terms.sum(-1)


class _LinearModel(nn.Module):
    def __init__(self, weight: Tensor, offset: Tensor, variance: Tensor) -> None:
        super().__init__()
        self.weight, self.offset = nn.Parameter(weight), nn.Parameter(offset)
        self.log_variance = nn.Parameter(variance.log())

    def prior(self) -> dist.TorchDistribution:
        return dist.Normal(self.weight.new_zeros(self.weight.shape[1]), 1.0).to_event(1)

    def likelihood(self, z: Tensor) -> dist.TorchDistribution:
        return dist.Normal(z @ self.weight.T + self.offset, (0.5 * self.log_variance).exp()).to_event(1)

    def forward(self, x: Tensor) -> None:
        with pyro.plate("batch", len(x)):
            z = pyro.sample("z", self.prior())
            pyro.sample("x", self.likelihood(z), obs=x)


class _LinearGuide(nn.Module):
    def __init__(self, weight: Tensor, offset: Tensor, variance: Tensor) -> None:
        super().__init__()
        self.weight, self.offset = nn.Parameter(weight), nn.Parameter(offset)
        self.log_variance = nn.Parameter(variance.log())

    def location(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + self.offset

    def posterior(self, x: Tensor) -> dist.TorchDistribution:
        return dist.Normal(self.location(x), (0.5 * self.log_variance).exp()).to_event(1)

    def forward(self, x: Tensor) -> None:
        with pyro.plate("batch", len(x)):
            pyro.sample("z", self.posterior(x))
