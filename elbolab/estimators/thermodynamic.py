"""The thermodynamic objective: log p(x) = int_0^1 E_pi_b[log w] db, pi_b ~ q^(1 - b) p^b, as a left Riemann sum."""

from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor

from elbolab.estimators.base import Estimate, Known
from elbolab.estimators.kinds import MultiSample
from elbolab.estimators.score import DetachedDraws
from elbolab.programs.draw import Draw


class TVO(MultiSample):
    """A Riemann sum of the thermodynamic integral between the ELBO and log p(x).

    sum_s (b_s+1 - b_s) E_pi_b_s[log w] from one set of particles, v the weights' b_s-th powers divided by their sum.

    The gradient is E_pi[d log w] + Cov_pi[log w, d log pi], pi ~ q^(1 - b) p^b, for model and guide, z held still. The
    sum is a lower bound on log p(x), the ELBO for one partition, and tighter with more; its estimate and the gradient
    are biased, as all normalised weights are, by the order of 1/K. The covariance is taken times K / (K - 1), so that
    one partition is RLOO. One decoder evaluation per particle; asks nothing of q but its density (*Masrani et al.,
    2019, The Thermodynamic Variational Objective*, arXiv 1907.00031).
    """

    unbiased = False
    least_particles = 2
    repeats = "none"

    def __init__(self, num_particles: int = 10, *, partitions: int = 2, first: float = 0.08, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum.
            partitions: how many intervals of b there are.
            first: the smallest b but 0; the others follow with one ratio up to 1.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        if partitions < 1:
            raise ValueError(f"partitions = {partitions}: one at least")
        if not 0 < first < 1:
            raise ValueError(f"first = {first}: between 0 and 1")
        self.partitions, self.first = partitions, first

    @property
    def bound(self) -> str:
        return f"TVO-{self.partitions} first {self.first:g}" if self.partitions > 1 else "ELBO"

    def betas(self) -> list[float]:
        """0, then from the first with one ratio to 1."""
        between = [self.first ** (1 - s / (self.partitions - 1)) for s in range(self.partitions - 1)]
        return [0.0, *between, 1.0]

    def targets(self, known: Known) -> tuple[Tensor, Tensor]:
        both = known.thermodynamic(self.betas())
        return both, both

    def sampler(self) -> Messenger:
        return DetachedDraws()

    def estimate(self, draw: Draw) -> Estimate:
        log_p, log_q, log_density = draw.log_p(), draw.log_q(), draw.log_density()
        log_weight = log_p - log_q
        still, nothing = log_weight.detach(), torch.zeros_like(log_weight[0])
        bound = surrogate = nothing
        betas, unbiasing = torch.tensor(self.betas()).to(still), len(still) / (len(still) - 1)
        for beta, width in zip(betas[:-1], betas.diff(), strict=True):
            v = (beta * still).softmax(0)
            mean = (v * still).sum(0)
            # pi is drawn from by weighing draws of q: its density is q's times the weight's power.
            log_pi = log_density + beta * log_weight
            bound = bound + width * mean
            covariance = (v * (still - mean) * log_pi).sum(0) * unbiasing
            surrogate = surrogate + width * ((v * log_weight).sum(0) + covariance)
        return Estimate(bound, surrogate)
