"""Pathwise gradients of the ELBO: z = g(e; phi), and the gradient flows through z.

All are unbiased for the ELBO, with one decoder evaluation per particle.
"""

import torch
from torch import Tensor

from elbolab.estimators.base import Estimate
from elbolab.estimators.kinds import Reparameterised
from elbolab.programs.draw import Draw
from elbolab.programs.kl import closed_forms


class Pathwise(Reparameterised):
    """The total derivative of the ELBO along the draws.

    d [log p(x, z) - log q(z|x)] at drawn z (Kingma and Welling, 2014, SGVB-A, arXiv 1312.6114).
    """

    mixed_data = True
    total_derivative = True
    repeats = "none"

    def estimate(self, draw: Draw) -> Estimate:
        elbo = draw.log_weight().mean(0)
        return Estimate(elbo, elbo)


class PathwiseAnalyticKL(Reparameterised):
    """The pathwise gradient with KL(q || p) in closed form where there is one.

    log p(x|z) at drawn z - KL(q || p) (Kingma and Welling, 2014, SGVB-B, arXiv 1312.6114).

    A latent's KL is in closed form where one is registered, where the latent's prior depends on nothing that the guide
    draws given it, and where both programs mask it alike; else it is log q - log p at the drawn z.
    """

    mixed_data = True
    total_derivative = True
    repeats = "none"
    closed_form_kl = True

    def estimate(self, draw: Draw) -> Estimate:
        closed = closed_forms(draw)
        elbo = sum(closed.values(), draw.log_weight_without(closed)).mean(0)
        return Estimate(elbo, elbo)


class StickingTheLanding(Reparameterised):
    """The path derivative alone, without the score of q.

    d/dz [log p(x, z) - log q(z|x)] dz/dphi (Roeder et al., 2017, Sticking the Landing, arXiv 1703.09194).

    The total derivative, less the score d log q(z|x) / dphi at z held still, whose expectation is 0. At the exact
    posterior nothing is left: the gradient is 0 for every draw. Far from it the score may cancel noise instead.
    """

    mixed_data = True
    repeats = "guide"

    def estimate(self, draw: Draw) -> Estimate:
        log_weight = draw.log_weight()
        return Estimate(log_weight.mean(0), (log_weight + draw.log_q(detached(draw.values))).mean(0))


def detached(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same latents as constants: what is left of a gradient at them is the score."""
    return {name: torch.Tensor.detach(value) for name, value in values.items()}
