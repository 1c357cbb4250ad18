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
from elbolab.programs.draw import Draw

Latents = Mapping[str, Tensor]


class _Through(Coded):
    """sum_j df/dz_j dh_j/dphi."""

    unbiased = False

    @abstractmethod
    def path(self, codes: Codes) -> Latents:
        """h, which depends on the logits."""

    def estimate(self, draw: Draw) -> Estimate:
        codes = Codes.of(draw)
        log_p, log_q, slopes = slope(draw, codes.values)
        surrogate = log_p + codes.dot(slopes, self.path(codes))
        return Estimate((log_p - log_q).mean(0), surrogate.mean(0))


class StraightThrough(_Through):
    """df/dz at the drawn codes, h their mean (Bengio, Leonard and Courville, 2013); one decoder evaluation."""

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
    """df/dz at the drawn codes, h their relaxation (Jang, Gu and Poole, 2017); one decoder evaluation."""


class GumbelRao(_Tempered):
    """STGumbel, averaged over the noise given the codes (Paulus, Maddison and Krause, 2021); one decoder evaluation."""

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


class Concrete(_Tempered):
    """df/dz at the relaxed codes, h the same (Maddison, Mnih and Teh, 2017; Jang, Gu and Poole, 2017).

    The pathwise gradient with the codes replaced by their relaxation; two decoder evaluations, the other for the bound.
    """

    def estimate(self, draw: Draw) -> Estimate:
        codes, log_p = Codes.of(draw), draw.log_p()
        relaxed = self.path(codes)
        *_, slopes = slope(draw, relaxed)
        return Estimate((log_p - draw.log_q()).mean(0), (log_p + codes.dot(slopes, relaxed)).mean(0))


def positive(temperature: float) -> float:
    if not temperature > 0:
        raise ValueError(f"temperature = {temperature}: a relaxation's temperature is positive")
    return temperature
