"""Multi-sample bounds: L_K = log 1/K sum_k w_k, w_k = p(x, z_k) / q(z_k|x), and pathwise estimators of its gradient.

E[L_K] rises with K from the ELBO to log p(x) (*Burda et al., 2015, Importance Weighted Autoencoders*). One decoder
evaluation per particle, two with PIWAE. w~ are the weights divided by their sum.
"""

from typing import Any

from torch import Tensor
from torch.autograd import Function

from elbolab.estimators.base import Estimate, Known
from elbolab.estimators.conditions import PATHS, WHOLE_DATA, Condition, Repeats
from elbolab.estimators.kinds import MultiSample, Reparameterised
from elbolab.estimators.pathwise import detached
from elbolab.estimators.score import log_mean
from elbolab.programs.draw import Draw


class _Pathwise(MultiSample, Reparameterised):
    """The pathwise ones, whose particles may be drawn together: then they bound something else."""

    conditions: tuple[Condition, ...] = (WHOLE_DATA, *PATHS)

    @property
    def bound(self) -> str:
        return self.dependent(super().bound)

    def dependent(self, name: str) -> str:
        """A bound's name: particles that are drawn together are still each from q, but bound something else."""
        return name if self.sampling == "independent" else f"{name} {self.sampling}"

    def multisample(self, known: Known, particles: int) -> Tensor:
        """What is known of L_K."""
        if self.sampling != "independent":
            raise NotImplementedError(f"{self.bound} is not known")
        return known.iwae(particles)

    def targets(self, known: Known) -> tuple[Tensor, Tensor]:
        return self.multisample(known, self.num_particles), self.multisample(known, self.num_particles)


class IWAE(_Pathwise):
    """The gradient of the bound itself: sum_k w~_k d log w_k, the total derivative; unbiased.

    The guide's signal falls with K while its noise does not (*Burda et al., 2015, Importance Weighted Autoencoders*;
    *Rainforth et al., 2018, Tighter Variational Bounds are Not Necessarily Better*).
    """

    mixed_data = True
    total_derivative = True
    repeats = "none"

    def estimate(self, draw: Draw) -> Estimate:
        bound = log_mean(draw.log_weight())
        return Estimate(bound, bound)


class IWAEStickingTheLanding(_Pathwise):
    """The gradient of the bound without the score, which is biased for K > 1.

    sum_k w~_k d/dz log w_k dz_k/dphi: what is left out, E[w~_k d log q(z_k)], is not 0.

    Kept to be compared with (*Roeder et al., 2017, Sticking the Landing*; the bias: *Tucker et al., 2018, Doubly
    Reparameterized Gradient Estimators for Monte Carlo Objectives*). At K = 1 it is StickingTheLanding.
    """

    unbiased = False
    repeats = "guide"

    def estimate(self, draw: Draw) -> Estimate:
        log_weight = draw.log_weight()
        weight = log_weight.detach().softmax(0)
        return Estimate(log_mean(log_weight), (weight * (log_weight + draw.log_q(detached(draw.values)))).sum(0))


class CIWAE(_Pathwise):
    """A mixture of the ELBO and L_K from the same particles, by its total derivative; unbiased.

    beta ELBO + (1 - beta) L_K.

    *Rainforth et al., 2018, Tighter Variational Bounds are Not Necessarily Better*.
    """

    mixed_data = True
    total_derivative = True
    repeats = "none"

    def __init__(self, num_particles: int = 5, *, beta: float = 0.5, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum.
            beta: the ELBO's share, from 0 to 1.
            options: what else Reparameterised takes.
        """
        super().__init__(num_particles, **options)
        if not 0 <= beta <= 1:
            raise ValueError(f"beta = {beta}: from 0 to 1")
        self.beta = beta

    @property
    def bound(self) -> str:
        return self.dependent(f"CIWAE-{self.num_particles} beta {self.beta:g}")

    def targets(self, known: Known) -> tuple[Tensor, Tensor]:
        both = self.beta * known.elbo() + (1 - self.beta) * self.multisample(known, self.num_particles)
        return both, both

    def estimate(self, draw: Draw) -> Estimate:
        log_weight = draw.log_weight()
        bound = self.beta * log_weight.mean(0) + (1 - self.beta) * log_mean(log_weight)
        return Estimate(bound, bound)


class MIWAE(_Pathwise):
    """The mean of M independent L_K, M K particles in all, total derivative; unbiased.

    *Rainforth et al., 2018, Tighter Variational Bounds are Not Necessarily Better*.
    """

    mixed_data = True
    total_derivative = True
    repeats: Repeats = "none"

    def __init__(self, num_particles: int = 5, *, batches: int = 4, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum and bound.
            batches: M bounds to average.
            options: what else Reparameterised takes.
        """
        super().__init__(num_particles, **options)
        if batches < 1:
            raise ValueError(f"batches = {batches}: one at least")
        self.batches = batches

    @property
    def particles(self) -> int:
        return self.batches * self.num_particles

    def mean_of_bounds(self, log_weight: Tensor) -> Tensor:
        """1/M sum_m L_K over consecutive particles."""
        return log_mean(log_weight.reshape(self.batches, self.num_particles, -1), 1).mean(0)

    def estimate(self, draw: Draw) -> Estimate:
        bound = self.mean_of_bounds(draw.log_weight())
        return Estimate(bound, bound)


class PIWAE(MIWAE):
    """The model ascends L_MK, the guide the mean of M L_K: the tighter bound where it helps, and not where it harms.

    The model is run twice: its own terms have other weights than those on the path to the guide. Unbiased for the two
    bounds; the value is L_MK (*Rainforth et al., 2018, Tighter Variational Bounds are Not Necessarily Better*).
    """

    repeats = "both"

    @property
    def bound(self) -> str:
        return self.dependent(f"PIWAE-{self.batches}x{self.num_particles}")

    def targets(self, known: Known) -> tuple[Tensor, Tensor]:
        return self.multisample(known, self.particles), self.multisample(known, self.num_particles)

    def estimate(self, draw: Draw) -> Estimate:
        log_weight = draw.log_weight()
        by_batch = log_weight.detach().reshape(self.batches, self.num_particles, -1).softmax(1) / self.batches
        more = log_weight.detach().softmax(0) - by_batch.reshape(log_weight.shape)
        surrogate = self.mean_of_bounds(log_weight) + (more * draw.log_model()).sum(0)
        return Estimate(log_mean(log_weight), surrogate)


class DReG(MultiSample):
    """The doubly reparameterised gradient: w~_k for the model, w~_k^2 d/dz log w_k dz_k/dphi for the guide; unbiased.

    The score that the total derivative leaves in is reparameterised once more, E[w~_k d log q(z_k)] =
    E[(w~_k - w~_k^2) d/dz log w_k dz_k/dphi], which takes independent particles and no more: guides of several latents
    are served, each path from phi to the weights entering them once. The guide's signal-to-noise ratio grows with K
    (*Tucker et al., 2018, Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives*). At K = 1 it is
    StickingTheLanding.
    """

    repeats: Repeats = "guide"
    conditions: tuple[Condition, ...] = (WHOLE_DATA, *PATHS)

    def estimate(self, draw: Draw) -> Estimate:
        drawn = Reweighed(draw)
        log_weight = draw.log_weight(drawn.values)
        drawn.weight = weight = log_weight.detach().softmax(0)
        # Without beta: it is the score of how z was drawn that is reparameterised, and the rest of it stays.
        score = draw.log_density(detached(drawn.values))
        return Estimate(log_mean(log_weight), (weight * (log_weight + score)).sum(0))


class Reweighed:
    """The drawn latents, and a weight of shape (particles, batch) for gradients that flow back through them.

    The weight is given when the densities at them are known, so that the programs run once for both.
    """

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self.weight: Tensor | None = None
        self.values = {name: _Reweigh.apply(value, name, self) for name, value in draw.values.items()}

    def times(self, name: str, gradient: Tensor) -> Tensor:
        assert self.weight is not None, "it is given before gradients flow"
        return gradient * self._draw.weigh(name, self.weight)


class _Reweigh(Function):
    """The identity, and a weight on the way back. (A tensor's hook is not there when gradients are traced.)"""

    @staticmethod
    def forward(ctx: Any, value: Tensor, name: str, reweighed: Reweighed) -> Tensor:  # noqa: ANN401
        ctx.name, ctx.reweighed = name, reweighed
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        return ctx.reweighed.times(ctx.name, gradient), None, None
