"""What is measured of a gradient estimator."""

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from elbolab.studying.cloud import Cloud


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured of one estimator. Losses are in nats per datum, gradients those of the mean over the batch.

    `variance` is the sum over coordinates, of all parameters or of one group's, and `variance_error` the standard error
    of that estimate. `snr_*` is the mean over a group's coordinates of |E g| / sd g (*Rainforth et al., 2018, Tighter
    Variational Bounds are Not Necessarily Better*). `signal` says what E g is: the exact gradient; else the mean of
    the replicates, which hides what is below `snr_floor`; of a biased estimator, whose own mean would count its bias as
    signal, the mean of another that is unbiased, and its own only where there is none. `bias_z` is the largest |z| over
    coordinates against `reference`, `joint_z` the largest over random projections of all coordinates at once, which
    sees a bias that is spread over many; by chance alone each exceeds its bound in one study of 10^5. `milliseconds`
    are those of a replicated gradient, `milliseconds_loop` those of one for which Pyro runs; `evaluations` counts the
    decoder's runs per datum and gradient.
    """

    label: str
    estimator: str
    particles: int
    bound: str
    unbiased: bool
    value: float
    value_error: float
    reference: str
    bias_z: float
    bias_bound: float
    joint_z: float
    joint_bound: float
    coordinates: int
    replicates: int
    how: str
    warm_up: int
    variance: float
    variance_model: float
    variance_guide: float
    variance_error: float
    variance_model_error: float
    variance_guide_error: float
    snr_model: float
    snr_guide: float
    signal: str
    snr_floor: float
    evaluations: float
    milliseconds: float
    milliseconds_loop: float
    capture_seconds: float
    coordinate: str
    draws: np.ndarray  # of that one coordinate, one per replicate
    cloud: Cloud  # the same replicates at the two coordinates of most variance

    @property
    def biased(self) -> bool | None:
        """Whether a bias was measured; None where there was nothing to measure it against."""
        if math.isnan(self.bias_z):
            return None
        return self.bias_z > self.bias_bound or self.joint_z > self.joint_bound

    @property
    def variance_evaluations(self) -> float:
        """Variance times decoder evaluations: what is left at equal numbers of them, by averaging gradients."""
        return self.variance * self.evaluations

    @property
    def variance_milliseconds(self) -> float:
        """Variance times milliseconds per replicated gradient: what is left after equal time."""
        return self.variance * self.milliseconds

    def as_dict(self) -> dict[str, Any]:
        """All numbers, plain: a row of a data frame."""
        plain = [field.name for field in fields(self) if field.name not in ("draws", "cloud")]
        named = {name: getattr(self, name) for name in plain}
        products = ("variance_evaluations", "variance_milliseconds", "biased")
        return named | {name: getattr(self, name) for name in products}
