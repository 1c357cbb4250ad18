"""The toy on which a guide's gradient drowns in noise as the bound gets tighter."""

import math
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from scipy.special import roots_genlaguerre
from torch import Tensor, nn

from elbolab.oracles.quadrature import expected_log_mean, expected_log_normal, left_sum, normal_nodes

_VARIANCE = 2 / 3  # of the guide; the posterior's is 1/2
_POINTS = 30  # quadrature nodes


class SignalToNoise:
    """z ~ N(mu, I), x|z ~ N(z, I), q(z|x) = N(A x + b, 2/3 I), near the optimum mu = mean x, A = I/2, b = mu/2.

    With K particles the signal-to-noise ratio of the total derivative goes as sqrt(K) for mu, as 1 / sqrt(K) for A
    and b (*Rainforth et al., 2018, Tighter Variational Bounds are Not Necessarily Better*). All normals being round,
    log w depends on z in two numbers alone, which makes every bound a two-dimensional integral, here for the data in
    `x`, float64, in nats, of shape (batch,); gradients by autograd.
    """

    def __init__(
        self, dimension: int = 20, data: int = 1024, batch: int = 8, *, deviation: float = 0.01, seed: int = 0
    ) -> None:
        """
        Args:
            dimension: of x and of z, two at least.
            data: how many are drawn and have a part in the optimum.
            batch: how many of them are in `x`.
            deviation: of the normal noise on every parameter at the optimum.
            seed: of data and noise.
        """
        generator = torch.Generator().manual_seed(seed)

        def noise(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64, generator=generator)

        centre = noise(dimension)
        data_in_all = centre + math.sqrt(2) * noise(data, dimension)
        optimum, self.x = data_in_all.mean(0), data_in_all[:batch]
        half = torch.eye(dimension, dtype=torch.float64) / 2
        self.model = _Model(optimum + deviation * noise(dimension))
        self.guide = _Guide(half + deviation * noise(dimension, dimension), optimum / 2 + deviation * noise(dimension))

    def log_evidence(self) -> Tensor:
        """log N(x; mu, 2 I)."""
        return dist.Normal(self.model.mean, math.sqrt(2)).to_event(1).log_prob(self.x)

    def _off(self) -> Tensor:
        """How far the guide's mean is from the posterior's, squared."""
        return (self.guide.location(self.x) - (self.x + self.model.mean) / 2).square().sum(-1)

    def elbo(self) -> Tensor:
        """log p(x) - KL(q || p(z|x)) = log p(x) - |off|^2 - D/2 (2 v - 1 - log 2 v), v the guide's variance."""
        rest = 2 * _VARIANCE - 1 - math.log(2 * _VARIANCE)
        return self.log_evidence() - self._off() - 0.5 * self.x.shape[-1] * rest

    def iwae(self, particles: int, alpha: float = 0.0) -> Tensor:
        """By quadrature; with alpha the VR-IWAE bound."""
        log_weight, log_measure = self._nodes()
        return expected_log_mean((1 - alpha) * log_weight, log_measure, particles) / (1 - alpha)

    def thermodynamic(self, betas: Sequence[float]) -> Tensor:
        """By quadrature too."""
        log_weight, log_measure = self._nodes()
        return left_sum(log_weight, log_measure[:, None], betas)

    def _nodes(self) -> tuple[Tensor, Tensor]:
        """log w and the log-measure, nodes over the noise along the guide's error and its squared length across it.

        That is a chi-square.
        """
        dimension = self.x.shape[-1]
        along, log_along = normal_nodes(_POINTS)
        halves, weights = (torch.as_tensor(part) for part in roots_genlaguerre(_POINTS, (dimension - 1) / 2 - 1))
        log_across = weights.log() - math.lgamma((dimension - 1) / 2)
        along, across = along.expand(-1, len(halves)).reshape(-1, 1), (2 * halves).repeat(len(along))[:, None]
        log_measure = (log_along[:, None] + log_across).flatten()
        off, squares = self._off(), along.square() + across
        from_posterior = off + 2 * (_VARIANCE * off).sqrt() * along + _VARIANCE * squares  # |z - its mean|^2
        normalisers = 0.5 * dimension * math.log(2 * _VARIANCE)
        return self.log_evidence() + normalisers - from_posterior + 0.5 * squares, log_measure

    def wake(self) -> Tensor:
        mean = (self.x + self.model.mean.detach()) / 2
        half = torch.full_like(mean, 0.5)
        return expected_log_normal(mean, half, self.guide.posterior(self.x).base_dist).sum(-1)


class _Model(nn.Module):
    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.mean = nn.Parameter(mean)

    def forward(self, x: Tensor) -> None:
        with pyro.plate("batch", len(x)):
            z = pyro.sample("z", dist.Normal(self.mean, 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


class _Guide(nn.Module):
    def __init__(self, weight: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.weight, self.offset = nn.Parameter(weight), nn.Parameter(offset)

    def location(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + self.offset

    def posterior(self, x: Tensor) -> dist.TorchDistribution:
        return dist.Normal(self.location(x), math.sqrt(_VARIANCE)).to_event(1)

    def forward(self, x: Tensor) -> None:
        with pyro.plate("batch", len(x)):
            pyro.sample("z", self.posterior(x))
