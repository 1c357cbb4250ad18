"""Leave-one-out score functions of bits and one-hot codes, with control variates made from the slope of f.

f(z) = log p(x, z) - log q(z|x), g_k = df/dz at z_k, G_k = mean of g_j over j != k, m the codes' mean. All are unbiased
for the ELBO and learn their own parameters by descending the square of their gradient with respect to q's logits; give
these to an optimiser after the first step. K decoder evaluations, forward and backward.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from elbolab.estimators.base import Estimate
from elbolab.estimators.codes import Coded, Codes, slope
from elbolab.programs.draw import Draw

Latents = Mapping[str, Tensor]


class _LeaveOneOut(Coded):
    """1/K sum_k (f_k - b_k) d log q(z_k|x) + what has no expectation, b_k a mean over the other particles."""

    least_particles = 2
    repeats = "guide"

    def __init__(self, num_particles: int = 2, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum, two at least.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)

    @abstractmethod
    def controlled(self, codes: Codes, f: Tensor, slopes: Latents) -> Tensor:
        """What has the estimator as its gradient with respect to the logits, shape (particles, batch)."""

    @torch.enable_grad()
    def estimate(self, draw: Draw) -> Estimate:
        codes = Codes.of(draw)
        log_p, log_q, slopes = slope(draw, codes.values)
        f, free = (log_p - log_q).detach(), codes.free()
        whole = self.controlled(free, f, slopes).mean(0)
        # The estimator as a number per logit: a constant to the guide, a function of what is learnt to the rest.
        found = torch.autograd.grad(whole.sum(), list(free.logits.values()), create_graph=True)
        g = dict(zip(free.logits, found, strict=True))
        still = {name: value.detach() for name, value in g.items()}
        surrogate = log_p.mean(0) + codes.dot(still, codes.logits).sum(0)
        return Estimate(f.mean(0), surrogate - self.square(codes, g))

    def square(self, codes: Codes, g: Latents) -> Tensor:
        """|g|^2, shape (batch,), g summed over the particles, whose logits are the same."""
        return codes.rows(g).sum(0).square().sum(-1)


def others(values: Tensor) -> Tensor:
    """The mean over the other particles, for each."""
    return (values.sum(0) - values) / (len(values) - 1)


class DoubleCV(_LeaveOneOut):
    """Leave-one-out REINFORCE with the slope at the other particles as a second control variate; unbiased.

    1/K sum_k [f_k + c_k - mean of f_j + c_j, j != k] d log q(z_k|x) - a (1/K sum_k g_k) dm, c_k = a G_k (z_k - m).

    Where f is nearly linear, c_k is nearly what varies in it; its expectation is taken off again, dm standing for the
    mean's derivative. The number a is learnt (Titsias and Shi, 2022, Double Control Variates for Gradient Estimation in
    Discrete Latent Variable Models, arXiv 2111.05300).
    """

    def __init__(self, num_particles: int = 2, *, strength: float = 0.0, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum, two at least.
            strength: where a starts; at 0 it is RLOO, at -1 a linear f leaves no variance.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        self.strength = nn.Parameter(torch.tensor(float(strength)))

    def controlled(self, codes: Codes, f: Tensor, slopes: Latents) -> Tensor:
        mean = codes.mean()
        away = {name: codes.values[name] - value.detach() for name, value in mean.items()}
        control = codes.dot({name: others(value) for name, value in slopes.items()}, away)
        signal = f + self.strength * control
        return (signal - others(signal)) * codes.log_prob() - self.strength * codes.dot(slopes, mean)


class RODEO(_LeaveOneOut):
    """Leave-one-out REINFORCE with Stein operators of learnt functions as control variates; unbiased.

    1/K sum_k {[f_k - mean of f_j + a (A h_j)(z_j) over j != k] d log q(z_k|x) + b (A (h'_k d log q))(z_k)}.

    (A h)(z) = 1/D sum_i [E_q(y_i) h(z with y_i for z_i) - h(z)], a Stein operator: E_q[A h] = 0 for every h. h_k and
    h'_k are a network's two outputs, its inputs G_k (z - mean of z_j over j != k), f's tangent, and the mean of f_j; at
    the D neighbours of z_k no decoder is needed. The numbers a and b and the network are learnt (Shi et al., 2022,
    Gradient Estimation with Discrete Stein Operators, arXiv 2202.09497; there, for K > 2, the network is averaged and
    not its inputs).
    """

    def __init__(self, num_particles: int = 2, *, hidden: int = 100, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum, two at least.
            hidden: units of the network's one layer.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        self.network = nn.Sequential(nn.Linear(2, hidden), nn.LeakyReLU(0.3), nn.Linear(hidden, 2))
        self.strengths = nn.Parameter(torch.zeros(2))

    def controlled(self, codes: Codes, f: Tensor, slopes: Latents) -> Tensor:
        tangent = {name: others(value) for name, value in slopes.items()}
        # mean of g_j (z - z_j) over j != k, at z_k itself and at its neighbours.
        here = codes.dot(tangent, codes.values) - others(codes.dot(slopes, codes.values))
        rise, moved = (
            codes.rows(codes.each(lambda code, *both: code.rise(*both), codes.values, along))
            for along in (tangent, codes.logits)
        )
        chance = codes.rows(codes.each(lambda code, *both: code.chance(*both), codes.values, codes.mean())).detach()
        h, beside = self.output(here, f), self.output(here[..., None] + rise, f[..., None])
        stein = (chance[..., None] * (beside - h[..., None, :])).mean(-2)
        a, b = self.strengths.to(f.dtype)
        score = (f - others(f + a * stein[..., 0])) + b * stein[..., 1]
        # d log q is another at a neighbour, by the neighbour less z.
        return score * codes.log_prob() + b * (chance * beside[..., 1] * moved).mean(-1)

    def output(self, tangent: Tensor, f: Tensor) -> Tensor:
        """h and h', in a last axis, where the tangent has these values."""
        inputs = torch.stack(torch.broadcast_tensors(tangent, others(f)), -1)
        return self.network(inputs.to(self.strengths.dtype)).to(f.dtype)
