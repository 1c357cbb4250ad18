"""What is known of a model whose latents have few values: sums over all of them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from elbolab.oracles.quadrature import left_sum


class Enumerated(ABC):
    """A model, a guide and data x, and what is known of them; results of shape (batch,), in nats, float64.

    Everything is a sum over all values of z, of densities that do not come from the programs.
    """

    model: nn.Module
    guide: nn.Module
    x: Tensor

    @abstractmethod
    def log_p(self) -> Tensor:
        """log p(x, z) of all z, shape (values, batch)."""

    @abstractmethod
    def log_q(self) -> Tensor:
        """log q(z|x) of all z, shape (values, batch)."""

    def log_density(self) -> Tensor:
        """log q(z|x) as z is drawn, where `log_q` has a weight."""
        return self.log_q()

    def elbo(self) -> Tensor:
        """sum_z q(z|x) [log p(x, z) - log q(z|x)]."""
        return (self.log_density().exp() * (self.log_p() - self.log_q())).sum(0)

    def iwae(self, particles: int, alpha: float = 0.0) -> Tensor:
        """sum over z_1, ..., z_K of q(z_1|x) ... q(z_K|x) log 1/K sum_k w_k: values^K terms.

        With alpha the VR-IWAE bound, 1 / (1 - alpha) log 1/K sum_k w_k^(1 - alpha).
        """
        density, log_weight = self.log_density(), (1 - alpha) * (self.log_p() - self.log_q())
        tuples = torch.cartesian_prod(*[torch.arange(len(density))] * particles).reshape(-1, particles)
        bound = log_weight[tuples].logsumexp(1) - math.log(particles)
        return (density[tuples].sum(1).exp() * bound).sum(0) / (1 - alpha)

    def thermodynamic(self, betas: Sequence[float]) -> Tensor:
        """sum_s (b_s+1 - b_s) E[log w] under q w^b_s, normalised."""
        return left_sum(self.log_p() - self.log_q(), self.log_density(), betas)

    def wake(self) -> Tensor:
        """sum_z p(z|x) log q(z|x), p a constant."""
        return (self.log_p().detach().softmax(0) * self.log_q()).sum(0)

    def log_evidence(self) -> Tensor:
        """log sum_z p(x, z)."""
        return self.log_p().logsumexp(0)
