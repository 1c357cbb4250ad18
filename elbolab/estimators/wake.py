"""Reweighted wake-sleep, datum by datum: the model ascends L_K, the guide E_p(z|x)[log q(z|x)], that is -KL(p || q).

The posterior's expectation is taken with the guide's own particles and their normalised weights w~: biased, the less
the more particles. Pyro's ReweightedWakeSleep has one weight for a whole batch. One decoder evaluation per particle.
"""

from pyro.poutine.messenger import Messenger
from torch import Tensor

from elbolab.estimators.base import Estimate, Known
from elbolab.estimators.conditions import DRAWN, PATHS, WHOLE_DATA, Condition
from elbolab.estimators.kinds import MultiSample
from elbolab.estimators.multisample import Reweighed
from elbolab.estimators.pathwise import detached
from elbolab.estimators.score import DetachedDraws, log_mean
from elbolab.programs.draw import Draw


class _Wake(MultiSample):
    """What both share. With one particle its weight is 1 whatever was drawn, and nothing is learnt from it."""

    conditions: tuple[Condition, ...] = (WHOLE_DATA, DRAWN)
    unbiased = False
    least_particles = 2

    @property
    def bound(self) -> str:
        return f"IWAE-{self.num_particles}, KL(p || q)"

    def targets(self, known: Known) -> tuple[Tensor, Tensor]:
        return known.iwae(self.num_particles), known.wake()


class WakePhi(_Wake):
    """The wake-phase gradients: the model ascends L_K, the guide the likelihood of reweighted draws.

    sum_k w~_k d log p(x, z_k) for the model, sum_k w~_k d log q(z_k|x) for the guide, at z held still.

    *Bornschein and Bengio, 2014, Reweighted Wake-Sleep*; *Le et al., 2019, Revisiting Reweighted Wake-Sleep for Models
    with Stochastic Control Flow*. Asks nothing of q but its density.
    """

    repeats = "none"

    def sampler(self) -> Messenger:
        return DetachedDraws()

    def estimate(self, draw: Draw) -> Estimate:
        log_p = draw.log_p()
        log_weight = (log_p - draw.log_q()).detach()
        return Estimate(log_mean(log_weight), (log_weight.softmax(0) * (log_p + draw.log_density())).sum(0))


class WakePhiDReG(_Wake):
    """The wake-phase gradients with the guide's score doubly reparameterised.

    The same, the guide's score reparameterised: sum_k (w~_k - w~_k^2) d/dz log w_k dz_k/dphi.

    The expectation is WakePhi's, its bias too; at the exact posterior every draw's gradient is 0 (*Tucker et al., 2018,
    Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives*).
    """

    repeats = "guide"
    conditions: tuple[Condition, ...] = (*_Wake.conditions, *PATHS)

    def estimate(self, draw: Draw) -> Estimate:
        drawn = Reweighed(draw)
        log_weight = draw.log_weight(drawn.values)
        weight = log_weight.detach().softmax(0)
        drawn.weight = 1 - weight
        own = log_weight + draw.log_q(detached(drawn.values))  # the guide's parameters act along the path alone
        return Estimate(log_mean(log_weight), (weight * own).sum(0))
