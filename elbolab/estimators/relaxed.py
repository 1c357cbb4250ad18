"""Biased gradients through codes: df/dz of the signal f = log p(x, z) - log q(z|x), times dh/dphi of a smooth h(l).

They differ in where df/dz is taken and in what h is. The bound that is reported and the model's gradient are those of
the drawn codes. What f depends on the guide's parameters for itself is left out, see `elbolab.estimators.codes`.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from elbolab.estimators.base import Estimate
from elbolab.estimators.codes import Coded, Codes, slope
from elbolab.estimators.conditions import Repeats
from elbolab.programs.draw import Draw

Latents = Mapping[str, Tensor]


class _Through(Coded):
    """sum_j df/dz_j dh_j/dphi."""

    unbiased = False
    repeats: Repeats = "guide"

    @abstractmethod
    def path(self, codes: Codes) -> Latents:
        """h, which depends on the logits."""

    def estimate(self, draw: Draw) -> Estimate:
        codes = Codes.of(draw)
        log_p, log_q, slopes = slope(draw, codes.values)
        surrogate = log_p + codes.dot(slopes, self.path(codes))
        return Estimate((log_p - log_q).mean(0), surrogate.mean(0))


class StraightThrough(_Through):
    """The slope of f at the drawn codes, taken for that along their mean; biased.

    df/dz at the drawn codes, h their mean (Bengio, Leonard and Courville, 2013, arXiv 1308.3432); one decoder
    evaluation.
    """

    def path(self, codes: Codes) -> Latents:
        return codes.mean()


class _Tempered(_Through):
    """Those with a relaxation."""

    def __init__(self, num_particles: int = 1, *, temperature: float = 2 / 3, **options: Any) -> None:
        """
        Args:
            num_particles: draws of z per datum.
            temperature: towards 0 the relaxation becomes the codes: less bias and more variance.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        self.temperature = positive(temperature)

    def path(self, codes: Codes) -> Latents:
        return codes.relax(codes.shifted(codes.noisy()), self.temperature)


class STGumbel(_Tempered):
    """The slope of f at the drawn codes, taken for that along their relaxation; biased.

    df/dz at the drawn codes, h their relaxation (Jang, Gu and Poole, 2017, arXiv 1611.01144); one decoder evaluation.
    """


class GumbelRao(_Tempered):
    """STGumbel, averaged over the noise given the codes; biased.

    One decoder evaluation (Paulus, Maddison and Krause, 2021, arXiv 2010.04838).
    """

    def __init__(
        self, num_particles: int = 1, *, samples: int = 10, temperature: float = 2 / 3, **options: Any
    ) -> None:
        """
        Args:
            num_particles: draws of z per datum.
            samples: draws of the noise given z; the decoder does not see them.
            temperature: towards 0 the relaxation becomes the codes: less bias and more variance.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, temperature=temperature, **options)
        if samples < 1:
            raise ValueError(f"samples = {samples}: one at least")
        self.samples = samples

    def path(self, codes: Codes) -> Latents:
        copies = {name: logits.expand(self.samples, *logits.shape) for name, logits in codes.logits.items()}
        relaxed = super().path(Codes(codes.draw, copies, codes.values))
        return {name: value.mean(0) for name, value in relaxed.items()}


class GappedStraightThrough(_Tempered):
    """The slope of f at the drawn codes, taken for that along logits with a gap; biased.

    df/dz at the drawn codes, h = s((l + m) / t), m what makes z lead by a gap (Fan et al., 2022, arXiv 2206.07235).

    The constant m raises the drawn entry to the largest and lowers the others until they are the gap below it: what
    STGumbel gets from noise, without the noise. Biased; one decoder evaluation.
    """

    def __init__(self, num_particles: int = 1, *, gap: float = 1.0, temperature: float = 2 / 3, **options: Any) -> None:
        """
        Args:
            num_particles: draws of z per datum.
            gap: by how much the drawn entry's logit leads.
            temperature: of the relaxation.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, temperature=temperature, **options)
        if gap < 0:
            raise ValueError(f"gap = {gap}: the drawn entry leads by it, 0 at least")
        self.gap = gap

    def path(self, codes: Codes) -> Latents:
        moved = codes.each(lambda code, *both: code.gapped(*both, self.gap), codes.logits, codes.values)
        return codes.relax(moved, self.temperature)


class ReinMax(_Tempered):
    """Straight-through by Heun's rule, exact to second order; biased.

    df/dz at the drawn codes, dh/dl = 2 J((p_t + z) / 2) - J(p) / 2 (Liu et al., 2023, arXiv 2304.08612).

    J(m) = diag(m) - m m^T is the derivative of softmax where it is m, p = softmax(l), p_t = softmax(l / t): Heun's rule
    where StraightThrough is Euler's. Biased; exact at t = 1 for an f that is quadratic in each code given the others.
    One decoder evaluation.
    """

    def __init__(self, num_particles: int = 1, *, temperature: float = 1.0, **options: Any) -> None:
        """
        Args:
            num_particles: draws of z per datum.
            temperature: of the straight-through step, 1 and more; beyond 1 a quadratic f is no longer served exactly.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, temperature=temperature, **options)

    def halfway(self, codes: Codes) -> Codes:
        """The same codes with the logits of (p_t + z) / 2, which depend on l as l does."""
        soft = codes.relax(codes.logits, self.temperature)
        middle = {name: (soft[name] + codes.values[name]) / 2 for name in soft}
        logits = codes.each(lambda code, mean: code.logits(mean), middle)
        return Codes(
            codes.draw, {name: own - (own - logits[name]).detach() for name, own in codes.logits.items()}, codes.values
        )

    def path(self, codes: Codes) -> Latents:
        middle, mean = self.halfway(codes).mean(), codes.mean()
        return {name: 2 * middle[name] - mean[name] / 2 for name in mean}


class Concrete(_Tempered):
    """The pathwise gradient with the codes replaced by their relaxation; biased.

    df/dz at the relaxed codes, h the same (Maddison, Mnih and Teh, 2017, arXiv 1611.00712; Jang, Gu and Poole, 2017,
    arXiv 1611.01144).

    Two decoder evaluations, the other for the bound.
    """

    repeats = "both"

    def estimate(self, draw: Draw) -> Estimate:
        codes, log_p = Codes.of(draw), draw.log_p()
        relaxed = self.path(codes)
        *_, slopes = slope(draw, relaxed)
        return Estimate((log_p - draw.log_q()).mean(0), (log_p + codes.dot(slopes, relaxed)).mean(0))


def positive(temperature: float) -> float:
    if not temperature > 0:
        raise ValueError(f"temperature = {temperature}: a relaxation's temperature is positive")
    return temperature
