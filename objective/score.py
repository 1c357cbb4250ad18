"""Score-function gradients: (f - b) d log q(z|x), f the learning signal, b a baseline that does not depend on z.

They ask nothing of q but its density, and serve discrete and continuous latents alike; the baseline decides how noisy
they are. One decoder evaluation per particle.
"""

import torch
from torch import Tensor

from objective.draws import Draw
from objective.estimator import Estimator
from objective.pathwise import still


class _Score(Estimator):
    """(log w - b) d log q(z|x) + d_theta log p(x, z)."""

    def baseline(self, signal: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """b, of a shape that fits (particles, batch), and what the baseline itself maximises, shape (batch,)."""
        return torch.zeros(()), torch.zeros(())

    def estimate(self, draw: Draw) -> tuple[Tensor, Tensor]:
        z = still(draw.values)
        log_p, log_q = draw.log_p(z), draw.log_q(z)
        signal = (log_p - log_q).detach()
        baseline, own = self.baseline(signal, draw)
        surrogate = log_p + (signal - baseline.detach()) * log_q
        return signal.mean(0), surrogate.mean(0) + own


class REINFORCE(_Score):
    """The score function without a baseline (Williams, 1992; Ranganath et al., 2014); unbiased."""


class MovingAverage(_Score):
    """A baseline that is a moving average of the learning signal, one number for all data (Mnih and Gregor, 2014)."""

    def __init__(self, num_particles: int = 1, *, decay: float = 0.9, **options) -> None:  # noqa: ANN003
        """
        Args:
            num_particles: draws of z per datum.
            decay: how much of the average is kept at a step.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        if not 0 <= decay < 1:
            raise ValueError(f"decay = {decay}: from 0 up to, but not, 1")
        self.decay = decay
        self.register_buffer("average", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(()))

    def baseline(self, signal: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        # The weight corrects the start from 0, and the average is of earlier steps only: unbiased.
        before = (self.average / self.weight.clamp(min=1e-12)).clone()
        if self.training and torch.is_grad_enabled():
            self.average.copy_(self.decay * self.average + (1 - self.decay) * signal.mean())
            self.weight.copy_(self.decay * self.weight + (1 - self.decay))
        return before, torch.zeros(())
