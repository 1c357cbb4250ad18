"""Score functions of the multi-sample bounds whose signal does not drown in noise as K grows, as VIMCO's does.

L = log 1/K sum_k w_k, w~ the weights divided by their sum. The gradient is sum_k (L - c_k) d log q(z_k|x) + sum_k w~_k
d log w_k with a c_k that knows nothing of z_k. What w~_k d log q takes away in the second term, of order 1/K with noise
of order 1/sqrt(K), is put back by L - c_k only if c_k is the bound with w_k replaced by nothing, c_k = log 1/K
sum_(j != k) w_j: then L - c_k = -log(1 - w~_k), the rest is of order w~_k^2, and the signal-to-noise ratio grows as
sqrt(K). One decoder evaluation per particle; they ask nothing of q but its density.
"""

import math
from abc import abstractmethod
from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor

from elbolab.estimators.base import Estimate, Known
from elbolab.estimators.conditions import DRAWN, WHOLE_DATA, Condition
from elbolab.estimators.kinds import MultiSample
from elbolab.estimators.score import DetachedDraws, log_mean
from elbolab.programs.draw import Draw


class _MultiSampleScore(MultiSample):
    """sum_k s_k d log q(z_k|x), and the derivative of the bound with z held still."""

    least_particles = 2
    repeats = "none"

    def sampler(self) -> Messenger:
        return DetachedDraws()

    @abstractmethod
    def signal(self, log_weight: Tensor) -> Tensor:
        """s, shape (K, batch), of the log-weights of all particles."""

    def of(self, log_weight: Tensor) -> Tensor:
        """The bound, shape (batch,)."""
        return log_mean(log_weight[: self.num_particles])

    def estimate(self, draw: Draw) -> Estimate:
        log_weight = draw.log_weight()
        bound, signal = self.of(log_weight), self.signal(log_weight.detach())
        return Estimate(bound, bound + (signal * draw.log_density()[: self.num_particles]).sum(0))


def log_rest(log_weight: Tensor) -> Tensor:
    """log(1 - w~_k), exact also where one weight is nearly all: there the others are summed."""
    whole = log_weight.logsumexp(0)
    share = log_weight - whole
    largest = log_weight == log_weight.amax(0)
    rest = log_weight.masked_fill(largest, -torch.inf).logsumexp(0) - whole
    # Of several that are the largest none is more than half.
    alone = largest & (largest.sum(0) == 1)
    return torch.where(alone, rest, (-share.exp()).log1p())


class VIMCOStar(_MultiSampleScore):
    """The score function of the VR-IWAE bound with the best constant in VIMCO's family of baselines; unbiased.

    L = 1 / (1 - alpha) log 1/K sum_k w_k^(1 - alpha), IWAE's at alpha = 0; c_k has alpha times the mean of the other
    w_j^(1 - alpha) in the place of w_k^(1 - alpha), where VIMCO has a mean of them itself: L - c_k = -[log(1 - w~_k) +
    log(1 + alpha / (K - 1))] / (1 - alpha). The signal-to-noise ratio grows as sqrt(K) (*Daudel et al., 2026,
    Importance Weighted Variational Inference without the Reparameterization Trick*, arXiv 2602.01412).

    The constant is derived here, not read there: K (L - c_k - w~_k) is (alpha u_k - c) / (1 - alpha) to first order,
    u_k the weights divided by their mean, and least in square at c = alpha where u and the squared score are
    uncorrelated; at alpha = 0 the first order vanishes whatever they are, and the variance falls as 1/K^3.
    """

    def __init__(self, num_particles: int = 5, *, alpha: float = 0.0, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum.
            alpha: from 0, the IWAE bound, up to, but not, 1, the ELBO.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        self.alpha = below_one(alpha)

    @property
    def bound(self) -> str:
        return f"VR-{super().bound} alpha {self.alpha:g}" if self.alpha else super().bound

    def targets(self, known: Known) -> tuple[Tensor, Tensor]:
        return known.iwae(self.num_particles, self.alpha), known.iwae(self.num_particles, self.alpha)

    def of(self, log_weight: Tensor) -> Tensor:
        return log_mean((1 - self.alpha) * log_weight) / (1 - self.alpha)

    def signal(self, log_weight: Tensor) -> Tensor:
        constant = math.log1p(self.alpha / (self.num_particles - 1))
        return -(log_rest((1 - self.alpha) * log_weight) + constant) / (1 - self.alpha)


class OVIS(_MultiSampleScore):
    """The score function of the multi-sample bound, with baselines for many particles or for few.

    s_k = -log(1 - w~_k) + gamma [w~_k + log(1 - 1/K)] (Lievin et al., 2020, arXiv 2008.01998).

    *Optimal Variance Control of the Score Function Gradient Estimator for Importance Weighted Bounds*; gamma is 1 for
    many effective particles, 0 for one. At gamma = 0 it is VIMCOStar and unbiased for L. What gamma adds depends on
    z_k, and its expectation is gamma E[sum_k w~_k d log q(z_k|x)], WakePhi's gradient: biased for L, the target is L -
    gamma KL(p || q), and as L's own gradient falls as 1/K, for many particles it is the wake's.
    """

    conditions: tuple[Condition, ...] = (WHOLE_DATA, DRAWN)
    unbiased = False

    def __init__(self, num_particles: int = 5, *, gamma: float = 1.0, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum.
            gamma: from 0 to 1.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma = {gamma}: from 0 to 1")
        self.gamma = gamma
        self.unbiased = gamma == 0

    @property
    def bound(self) -> str:
        share = "" if self.gamma == 1 else f"{self.gamma:g} "
        return f"{super().bound}, {share}KL(p || q)" if self.gamma else super().bound

    def targets(self, known: Known) -> tuple[Tensor, Tensor]:
        own = known.iwae(self.num_particles)
        return own, own + self.gamma * known.wake() if self.gamma else own

    def signal(self, log_weight: Tensor) -> Tensor:
        rest, share = log_rest(log_weight), log_weight.softmax(0)
        return -rest + self.gamma * (share + math.log1p(-1 / len(log_weight)))


class OVISMonteCarlo(_MultiSampleScore):
    """The score function of the multi-sample bound, with baselines from further draws; unbiased.

    c_k = 1/S sum_s [L - w~_k with z_s in the place of z_k], S draws more; unbiased.

    What the best baseline is the expectation of, estimated (Lievin et al., 2020, arXiv 2008.01998). L has K particles,
    and there are K + S decoder evaluations.
    """

    def __init__(self, num_particles: int = 5, *, samples: int = 1, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum.
            samples: S further ones, for the baseline alone.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        if samples < 1:
            raise ValueError(f"samples = {samples}: one at least")
        self.samples = samples

    @property
    def particles(self) -> int:
        return self.num_particles + self.samples

    def signal(self, log_weight: Tensor) -> Tensor:
        own, more = log_weight[: self.num_particles], log_weight[self.num_particles :, None]
        rest = log_rest(own) + own.logsumexp(0)
        replaced = torch.logaddexp(rest, more) - own.logsumexp(0)
        return -(replaced - (more - rest).sigmoid()).mean(0)


def below_one(alpha: float) -> float:
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha = {alpha}: from 0 up to, but not, 1")
    return alpha
