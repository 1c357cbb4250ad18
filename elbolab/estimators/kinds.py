"""What estimators of one kind share: those of a multi-sample bound, and the pathwise ones."""

from typing import Any, Literal

from pyro.poutine.messenger import Messenger
from torch import Tensor

from elbolab.estimators.base import Estimator, Known, concrete
from elbolab.estimators.conditions import PATHS, WHOLE_DATA, Condition
from elbolab.estimators.joint_sampling import SAMPLERS
from elbolab.programs.sites import named

Sampling = Literal["independent", "antithetic", "sobol"]


class MultiSample(Estimator):
    """What the estimators of L_K = E[log 1/K sum_k w_k] share: K, the bound and its name."""

    conditions: tuple[Condition, ...] = (WHOLE_DATA,)

    def __init__(self, num_particles: int = 5, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum.
            options: what else Estimator takes.
        """
        if not isinstance(self, Reparameterised):
            _drawn_alone(type(self).__name__, options)
        super().__init__(num_particles, **options)

    @property
    def bound(self) -> str:
        return f"IWAE-{self.num_particles}" if self.num_particles > 1 else "ELBO"

    def targets(self, known: Known) -> tuple[Tensor, Tensor]:
        return known.iwae(self.num_particles), known.iwae(self.num_particles)


def _drawn_alone(name: str, options: dict[str, Any]) -> None:
    """Takes `sampling` from the options; apart, as the command line reads constructors to find what `**options` are."""
    if options.pop("sampling", "independent") != "independent":
        able = named(cls.__name__ for cls in concrete(Reparameterised))
        raise ValueError(
            f"{name} is for independent particles: drawn together, they depend on one another as its gradient does not"
            f" know. Estimators that can draw them so: {able}"
        )


class Reparameterised(Estimator):
    """What the pathwise estimators share: draws that carry gradients, and how they are drawn."""

    conditions: tuple[Condition, ...] = PATHS

    def __init__(self, num_particles: int = 1, *, sampling: Sampling = "independent", **options: Any) -> None:
        """
        Args:
            num_particles: draws of z per datum.
            sampling: independent; antithetic: pairs mirrored at q's centre (for a multi-sample bound this is another
                bound); sobol: a randomised quasi-Monte Carlo net over the particles.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        if sampling not in SAMPLERS:
            raise ValueError(f"sampling = {sampling}: {', '.join(SAMPLERS)}")
        self.sampling = sampling
        if sampling != "independent" and not self.vectorize_particles:
            raise ValueError(f"{type(self).__name__}(sampling={sampling!r}) draws all particles at once")

    def asks_as_built(self) -> tuple[Condition, ...]:
        return SAMPLERS[self.sampling].conditions

    def sampler(self) -> Messenger | None:
        how = SAMPLERS[self.sampling]
        if self.particles < how.least_particles:
            raise ValueError(
                f"{type(self).__name__}(sampling={self.sampling!r}) draws particles together: two at least"
            )
        return how(self.particles)
