"""Bounds of powers of the weights: VR-IWAE between the ELBO and IWAE, and a chi-square upper bound for the guide.

L = 1 / (1 - alpha) log 1/K sum_k w_k^(1 - alpha), w~ these powers divided by their sum. One decoder evaluation per
particle.
"""

from typing import Any

from torch import Tensor

from elbolab.estimators.base import Estimate, Known
from elbolab.estimators.conditions import DRAWN, PATHS, WHOLE_DATA, Condition
from elbolab.estimators.kinds import MultiSample
from elbolab.estimators.multisample import IWAE, Reweighed
from elbolab.estimators.multisample_score import below_one
from elbolab.estimators.pathwise import detached
from elbolab.estimators.score import log_mean
from elbolab.programs.draw import Draw


class _VariationalRenyi(MultiSample):
    """What both estimators of the VR-IWAE bound share: alpha, and the bound's name."""

    def __init__(self, num_particles: int = 5, *, alpha: float = 0.5, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum.
            alpha: from 0 up to, but not, 1.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        self.alpha = below_one(alpha)

    @property
    def bound(self) -> str:
        return f"VR-{super().bound} alpha {self.alpha:g}" if self.alpha and self.num_particles > 1 else super().bound


class VRIWAE(_VariationalRenyi, IWAE):
    """The gradient of the VR-IWAE bound itself, sum_k w~_k d log w_k, the total derivative; unbiased.

    alpha = 0 is IWAE, and alpha -> 1 the ELBO (*Daudel et al., 2023, Alpha-divergence Variational Inference Meets
    Importance Weighted Auto-Encoders*, arXiv 2210.06226).
    """

    def multisample(self, known: Known, particles: int) -> Tensor:
        super().multisample(known, particles)  # refuses what is not known
        return known.iwae(particles, self.alpha)

    def estimate(self, draw: Draw) -> Estimate:
        bound = log_mean((1 - self.alpha) * draw.log_weight()) / (1 - self.alpha)
        return Estimate(bound, bound)


class VRDReG(_VariationalRenyi):
    """The doubly reparameterised gradient of the VR-IWAE bound; unbiased.

    w~_k for the model, [alpha w~_k + (1 - alpha) w~_k^2] d/dz log w_k dz_k/dphi for the guide: DReG at alpha = 0,
    towards StickingTheLanding as alpha -> 1 (*Daudel et al., 2023, Alpha-divergence Variational Inference Meets
    Importance Weighted Auto-Encoders*, arXiv 2210.06226).
    """

    repeats = "guide"
    conditions: tuple[Condition, ...] = (WHOLE_DATA, *PATHS)

    def targets(self, known: Known) -> tuple[Tensor, Tensor]:
        return known.iwae(self.num_particles, self.alpha), known.iwae(self.num_particles, self.alpha)

    def estimate(self, draw: Draw) -> Estimate:
        drawn, power = Reweighed(draw), 1 - self.alpha
        log_weight = draw.log_weight(drawn.values)
        weight = (power * log_weight.detach()).softmax(0)
        drawn.weight = self.alpha + power * weight
        # Without beta: it is the score of how z was drawn that is reparameterised, and the rest of it stays.
        score = draw.log_density(detached(drawn.values))
        return Estimate(log_mean(power * log_weight) / power, (weight * (log_weight + score)).sum(0))


class CUBO(MultiSample):
    """The guide descends an estimate of an upper bound on log p(x), and the model ascends L_K.

    The guide descends 1/n log 1/K sum_k w_k^n, an estimate of 1/n log E_q[w^n] >= log p(x); the model ascends L_K.

    [(1 - n) w~_k + n w~_k^2] d/dz log w_k dz_k/dphi, w~ the n-th powers divided by their sum: the VR-IWAE bound's
    double reparameterisation at alpha = 1 - n, as the plain one's noise is large; at the exact posterior every draw's
    gradient is 0. Unbiased for the guide's objective with K particles, which approaches the upper bound from below; the
    guide covers the posterior as WakePhi's does, whose objective is the forward KL (*Dieng et al., 2017, Variational
    Inference via chi Upper Bound Minimization*, arXiv 1611.00328).
    """

    repeats = "guide"
    conditions: tuple[Condition, ...] = (WHOLE_DATA, DRAWN, *PATHS)
    least_particles = 2

    def __init__(self, num_particles: int = 5, *, power: float = 2.0, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum.
            power: n, more than 1; 2 is the chi-square divergence.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        if not power > 1:
            raise ValueError(f"power = {power}: more than 1, below it is no upper bound")
        self.power = power

    @property
    def bound(self) -> str:
        return f"{super().bound}, CUBO-{self.power:g}"

    def targets(self, known: Known) -> tuple[Tensor, Tensor]:
        return known.iwae(self.num_particles), -known.iwae(self.num_particles, 1 - self.power)

    def estimate(self, draw: Draw) -> Estimate:
        drawn, n = Reweighed(draw), self.power
        log_weight = draw.log_weight(drawn.values)
        still = log_weight.detach()
        share, own = (n * still).softmax(0), still.softmax(0)
        # On the way back the model's weight is exchanged for the guide's; their ratio is K at most.
        ratio = ((n * still).log_softmax(0) - still.log_softmax(0)).exp()
        drawn.weight = -ratio * (1 - n + n * share)
        q, density = draw.log_q(detached(drawn.values)), draw.log_density(detached(drawn.values))
        # The guide's own term in log w is beta times the score; what of it is not reparameterised has its sign turned.
        surrogate = own * (log_weight + q) + share * (q - density)
        return Estimate(log_mean(log_weight), surrogate.sum(0))
