"""Exact multi-sample bounds by quadrature, and the conjugate normal model in one dimension."""

import math
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

_REACH = 9  # standard deviations: exp(-9^2 / 2) = 3e-18
_STEP = 0.25  # the trapezoidal rule's error is about exp(-pi^2 / step) = 7e-18 for an integrand analytic to i pi/2


def normal_nodes(points: int, dimensions: int = 1) -> tuple[Tensor, Tensor]:
    """Nodes e, (points^dimensions, dimensions), and log-weights of E f(e), e ~ N(0, I): the trapezoidal rule.

    For an analytic f it converges as fast as Gauss-Hermite and does so also where f is steep: the bounds' integrands
    are steps as much as polynomials.
    """
    line = torch.linspace(-_REACH, _REACH, points, dtype=torch.float64)
    grid = torch.cartesian_prod(*[line] * dimensions).reshape(-1, dimensions)
    return grid, (-0.5 * grid.square().sum(-1)).log_softmax(0)


def expected_log_mean(log_weight: Tensor, log_measure: Tensor, particles: int) -> Tensor:
    """E[log 1/K sum_k w_k], K independent weights, from nodes of one weight's law; any K, shape (batch,).

    By Frullani's integral log a = int_0^inf (e^-t - e^-(a t)) / t dt, whose expectation needs one weight alone:
    E e^-(t sum_k w_k / K) = (E e^-(t w / K))^K. In s = log t the integrand falls off at both ends.

    Args:
        log_weight: (nodes, batch).
        log_measure: (nodes,), the log of what every node stands for; sums to 1.
        particles: K.
    """
    # Relative to log E w, which makes the integrand's first order in t vanish at the left end.
    centre = (log_weight + log_measure[:, None]).logsumexp(0)
    relative = log_weight - centre
    s = torch.arange(-45, 150, _STEP, dtype=log_weight.dtype)
    exponent = s[:, None, None] - math.log(particles) + relative
    single = (log_measure.exp()[:, None] * (-exponent.clamp(max=6.5).exp()).exp()).sum(1)
    return centre + _STEP * ((-s.clamp(max=6.5).exp()).exp()[:, None] - single**particles).sum(0)


def left_sum(log_weight: Tensor, log_measure: Tensor, betas: Sequence[float]) -> Tensor:
    """sum_s (b_s+1 - b_s) E[w^b_s log w] / E[w^b_s], from the nodes of one weight's law; shape (batch,)."""
    steps = zip(betas[:-1], betas[1:], strict=True)
    terms = ((b - a) * ((log_measure + a * log_weight).softmax(0) * log_weight).sum(0) for a, b in steps)
    return sum(terms, torch.zeros(()))


def expected_log_normal(mean: Tensor, variance: Tensor, q: dist.Normal) -> Tensor:
    """E[log q(z)], z of the given mean and variance, for a normal q."""
    return -0.5 * ((2 * math.pi * q.variance).log() + (variance + (mean - q.mean).square()) / q.variance)


class NormalNormal:
    """z ~ N(m, e^2s), x|z ~ N(z, e^2t), q(z|x) = N(a x + c, e^2d): every bound is an integral in one dimension.

    `elbo`, `iwae` and `wake` are for the data in `x`, float64, in nats, of shape (batch,); gradients by autograd.
    """

    def __init__(self, batch: int = 2, *, exact: bool = False, points: int = 200) -> None:
        """
        Args:
            batch: how many data.
            exact: whether the guide is the posterior.
            points: quadrature nodes.
        """
        self.points = points
        self.x = torch.linspace(-0.5, 1.5, batch, dtype=torch.float64)
        self.model, self.guide = _NormalModel(), _NormalGuide()
        if exact:
            mean, variance = self._posterior(self.x.new_tensor([0.0, 1.0]))
            with torch.no_grad():
                self.guide.slope.copy_(mean[1] - mean[0])
                self.guide.offset.copy_(mean[0])
                self.guide.log_scale.copy_(0.5 * variance.log())

    def _posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """p(z|x)'s mean and variance: precisions add up."""
        prior, noise = (-2 * self.model.prior_log_scale).exp(), (-2 * self.model.log_scale).exp()
        mean = (prior * self.model.prior_mean + noise * x) / (prior + noise)
        return mean.detach(), (1 / (prior + noise)).detach()

    def log_weight(self, nodes: Tensor) -> Tensor:
        """log w at z = m + s e, the nodes e of shape (nodes, 1): (nodes, batch)."""
        q = self.guide.posterior(self.x)
        z = q.mean + q.stddev * nodes
        log_p = self.model.prior().log_prob(z) + self.model.likelihood(z).log_prob(self.x)
        return log_p - q.log_prob(z)

    def log_evidence(self) -> Tensor:
        """log N(x; m, e^2s + e^2t)."""
        variance = (2 * self.model.prior_log_scale).exp() + (2 * self.model.log_scale).exp()
        return dist.Normal(self.model.prior_mean, variance.sqrt()).log_prob(self.x)

    def elbo(self) -> Tensor:
        q, prior, likelihood = self.guide.posterior(self.x), self.model.prior(), self.model.likelihood(self.x)
        expected = expected_log_normal(q.mean, q.variance, prior) + expected_log_normal(q.mean, q.variance, likelihood)
        return expected + q.entropy()

    def iwae(self, particles: int, alpha: float = 0.0) -> Tensor:
        nodes, log_measure = normal_nodes(self.points)
        return expected_log_mean((1 - alpha) * self.log_weight(nodes), log_measure, particles) / (1 - alpha)

    def thermodynamic(self, betas: Sequence[float]) -> Tensor:
        nodes, log_measure = normal_nodes(self.points)
        return left_sum(self.log_weight(nodes), log_measure[:, None], betas)

    def wake(self) -> Tensor:
        return expected_log_normal(*self._posterior(self.x), self.guide.posterior(self.x))


class _NormalModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.prior_mean = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
        self.prior_log_scale = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))
        self.log_scale = nn.Parameter(torch.tensor(-0.2, dtype=torch.float64))

    def prior(self) -> dist.Normal:
        return dist.Normal(self.prior_mean, self.prior_log_scale.exp())

    def likelihood(self, z: Tensor) -> dist.Normal:
        return dist.Normal(z, self.log_scale.exp())

    def forward(self, x: Tensor) -> None:
        with pyro.plate("batch", len(x)):
            pyro.sample("x", self.likelihood(pyro.sample("z", self.prior())), obs=x)


class _NormalGuide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(-0.2, dtype=torch.float64))
        self.offset = nn.Parameter(torch.tensor(1.2, dtype=torch.float64))
        self.log_scale = nn.Parameter(torch.tensor(-0.1, dtype=torch.float64))

    def posterior(self, x: Tensor) -> dist.Normal:
        return dist.Normal(self.slope * x + self.offset, self.log_scale.exp())

    def forward(self, x: Tensor) -> None:
        with pyro.plate("batch", len(x)):
            pyro.sample("z", self.posterior(x))
