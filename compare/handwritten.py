"""The witness: the loss of a variational auto-encoder as people write it, in PyTorch alone.

The question was how `CrossEntropy(Y^, Y) - 0.5 * (1 + s - m^2 - exp(s))` can be the ELBO. Here m is the encoder's mean,
s its log-variance, e standard normal noise. Every function returns one number per datum, shape (batch,), in nats.
Nothing here knows of Pyro; `compare` holds it beside Pyro's objectives.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def reparameterize(m: Tensor, s: Tensor, e: Tensor) -> Tensor:
    """z = m + exp(s / 2) e, a draw from N(m, exp(s)) that gradients flow through."""
    return m + torch.exp(0.5 * s) * e


def cross_entropy(logits: Tensor, x: Tensor) -> Tensor:
    """BCE summed over pixels: - sum_i [x_i log y_i + (1 - x_i) log(1 - y_i)], y = sigmoid(logits)."""
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


def kl(m: Tensor, s: Tensor) -> Tensor:
    """-1/2 sum_j (1 + s_j - m_j^2 - exp(s_j)) = KL(N(m, exp(s)) || N(0, 1)), in closed form."""
    return -0.5 * (1 + s - m.pow(2) - s.exp()).sum(-1)


def sampled_kl(z: Tensor, m: Tensor, s: Tensor) -> Tensor:
    """log q(z|x) - log p(z) at one draw z: the same KL in expectation."""
    log_q = -0.5 * (math.log(2 * math.pi) + s + (z - m).pow(2) / s.exp()).sum(-1)
    log_p = -0.5 * (math.log(2 * math.pi) + z.pow(2)).sum(-1)
    return log_q - log_p


def gaussian_cross_entropy(m: Tensor, s: Tensor) -> Tensor:
    """-E_q[log p(z)] = 1/2 sum_j (log 2 pi + m_j^2 + exp(s_j)): the prior's part of the KL."""
    return 0.5 * (math.log(2 * math.pi) + m.pow(2) + s.exp()).sum(-1)


def entropy(s: Tensor) -> Tensor:
    """-E_q[log q(z|x)] = 1/2 sum_j (1 + log 2 pi + s_j): the entropy in the KL."""
    return 0.5 * (1 + math.log(2 * math.pi) + s).sum(-1)


def kl_of_log_deviation(m: Tensor, t: Tensor) -> Tensor:
    """The KL written for a head t = log sigma: 1/2 sum_j (m_j^2 + exp(2 t_j) - 1) - t_j."""
    return (0.5 * (m.pow(2) + (2 * t).exp() - 1) - t).sum(-1)


def kl_of_softplus(m: Tensor, h: Tensor) -> Tensor:
    """The KL written for a head h with sigma = softplus(h): 1/2 sum_j (m_j^2 + sigma_j^2 - 1) - log sigma_j."""
    sigma = F.softplus(h)
    return (0.5 * (m.pow(2) + sigma.pow(2) - 1) - sigma.log()).sum(-1)
