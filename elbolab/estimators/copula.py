"""K bits that repel one another, drawn together: antithetic pairs for more than two."""

from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import Bernoulli

from elbolab.estimators.base import Estimate
from elbolab.estimators.codes import Coded, Codes, uniform
from elbolab.estimators.conditions import BITS, INDEPENDENT, Condition
from elbolab.programs.draw import Draw
from elbolab.programs.sites import base, role


class ARMS(Coded):
    """The score function of K antithetic bits, weighed for their correlation.

    1/(K - 1) sum_k [f(b_k) - mean f] b_k / (1 - r), r the correlation of two of K antithetic bits.

    u_k = 1 - (1 - d_k)^(K - 1), d uniform on the simplex, are uniform each and repel one another; b_k = 1[u_k > 1 - p]
    or 1[u_k < p], whichever has the smaller r. r is known: two are both 1, or in the other case both 0, with the
    probability max(0, 2 t^(1/(K - 1)) - 1)^(K - 1), t = p or 1 - p. For K = 2 it is DisARM. Unbiased; K decoder
    evaluations (*Dimitriev and Zhou, 2021, ARMS: Antithetic-REINFORCE-Multi-Sample Gradient for Binary Variables*,
    arXiv 2105.14141).
    """

    conditions: tuple[Condition, ...] = (BITS, INDEPENDENT)
    repeats = "guide"  # not so, but its particles are drawn together from one guide
    least_particles = 2

    def __init__(self, num_particles: int = 4, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum, two at least.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        if not self.vectorize_particles:
            raise ValueError("ARMS draws its particles together: vectorize_particles = True")

    def sampler(self) -> Messenger:
        return Copula(self.num_particles)

    def estimate(self, draw: Draw) -> Estimate:
        bits, log_p = Codes.of(draw), draw.log_p()
        f = (log_p - draw.log_q()).detach()
        factors = {}
        for name, logits in bits.logits.items():
            r = torch.minimum(*correlations(logits.detach(), self.num_particles))
            factors[name] = bits.values[name] / (1 - r)
        count = self.num_particles
        surrogate = log_p + (f - f.mean(0)) * count / (count - 1) * bits.dot(factors, bits.logits)
        return Estimate(f.mean(0), surrogate.mean(0))


def correlations(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Those of two of the bits 1[u > 1 - p], and of two of the bits 1[u < p]; in float64, as small numbers cancel."""
    sides = [side.double().sigmoid() for side in (logits, -logits)]
    power, odds = count - 1, (sides[0] * sides[1]).clamp(min=torch.finfo(torch.float64).tiny)
    together = ((2 * t ** (1 / power) - 1).clamp(min=0) ** power - t.square() for t in sides)
    above, below = ((covariance / odds).to(logits) for covariance in together)
    return above, below


class Copula(Messenger):
    """Draws the particles of bits from one point of the simplex for every bit, each of them distributed as q."""

    def __init__(self, particles: int) -> None:
        super().__init__()
        self.particles = particles

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        q = base(msg["fn"]) if msg["type"] == "sample" else None
        if isinstance(q, Bernoulli) and not msg["done"] and role(msg) == "latent":
            if msg["fn"].batch_shape[:1] != (self.particles,):
                raise ValueError(f"{msg['name']} is not drawn once per particle: it has {msg['fn'].batch_shape}")
            e = -uniform(q.logits).log()
            u = 1 - (1 - e / e.sum(0)) ** (self.particles - 1)
            above, below = correlations(q.logits, self.particles)
            p = q.logits.sigmoid()
            msg["value"], msg["done"] = torch.where(above < below, u > 1 - p, u < p).to(p), True
