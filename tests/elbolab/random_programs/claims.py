"""What every estimator claims, read from its docstring: the bounds of its value, of the model's and the guide's gradient.

A bound is a mixture {K: weight} of L_K; L_1 is the ELBO. Where an estimator is biased for the guide, what remains is
its value and the gradient of what the model alone depends on.
"""

from dataclasses import dataclass
from typing import Any

import elbolab.estimators
from elbolab.estimators import Estimator

Bound = dict[int, float]
ELBO: Bound = {1: 1.0}


@dataclass(frozen=True)
class Claim:
    """An estimator with options, and what it says of itself. `free` are the options that only average, or none.

    `least` is the smallest number of particles; what `learns` has parameters of its own, which are trained first.
    """

    label: str
    options: dict[str, Any]
    value: Bound
    model: Bound
    guide: Bound | None
    free: tuple[str, ...] = ()
    least: int = 1
    learns: bool = False

    @property
    def name(self) -> str:
        """The class, which a refusal has to name."""
        return self.label.split("(")[0]

    @property
    def multisample(self) -> bool:
        return any(k > 1 for bound in (self.value, self.model, self.guide or {}) for k in bound)

    def arguments(self, draws: int, vectorize: bool = True) -> dict[str, Any]:
        """Of the constructor, for so many draws a call if that is free."""
        vectorized = {} if vectorize else {"vectorize_particles": False}
        return self.options | {option: draws for option in self.free} | vectorized

    def make(self, draws: int, vectorize: bool = True) -> Estimator:
        return getattr(elbolab.estimators, self.name)(**self.arguments(draws, vectorize))


def _elbo(label: str, guide: Bound | None = ELBO, least: int = 1, learns: bool = False, **options) -> Claim:
    return Claim(label, options, ELBO, ELBO, guide, ("num_particles",), least, learns)


def _multisample(label: str, value: Bound, guide: Bound | None, free: tuple[str, ...] = (), **options) -> Claim:
    return Claim(label, options, value, value, guide, free)


MIXED = {1: 0.3, 2: 0.7}
CLAIMS = [
    _elbo("Pathwise"),
    _elbo("Pathwise(antithetic)", least=2, sampling="antithetic"),
    _elbo("Pathwise(sobol)", least=2, sampling="sobol"),
    _elbo("PathwiseAnalyticKL"),
    _elbo("StickingTheLanding"),
    _elbo("REINFORCE"),
    _elbo("MovingAverage"),
    _elbo("NVIL", learns=True),
    _elbo("RLOO", least=2),
    _multisample("VIMCO(2)", {2: 1.0}, {2: 1.0}, num_particles=2),
    _multisample("VIMCO(3)", {3: 1.0}, {3: 1.0}, num_particles=3),
    _multisample("IWAE(2)", {2: 1.0}, {2: 1.0}, num_particles=2),
    _multisample("IWAE(3)", {3: 1.0}, {3: 1.0}, num_particles=3),
    _multisample("DReG(2)", {2: 1.0}, {2: 1.0}, num_particles=2),
    _multisample("DReG(3)", {3: 1.0}, {3: 1.0}, num_particles=3),
    _multisample("IWAEStickingTheLanding(2)", {2: 1.0}, None, num_particles=2),
    _multisample("CIWAE(2)", MIXED, MIXED, num_particles=2, beta=0.3),
    _multisample("MIWAE(2)", {2: 1.0}, {2: 1.0}, ("batches",), num_particles=2),
    _multisample("PIWAE(1, batches=2)", {2: 1.0}, ELBO, num_particles=1, batches=2),
    _multisample("PIWAE(2, batches=2)", {4: 1.0}, {2: 1.0}, num_particles=2, batches=2),
    _multisample("WakePhi(2)", {2: 1.0}, None, num_particles=2),
    _multisample("WakePhiDReG(2)", {2: 1.0}, None, num_particles=2),
    _elbo("ARM"),
    _elbo("DisARM"),
    _elbo("MuProp"),
    _elbo("REBAR"),
    _elbo("RELAX", learns=True),
    _elbo("Enumeration"),
    _elbo("Concrete", guide=None),
    _elbo("STGumbel", guide=None),
    _elbo("GumbelRao", guide=None),
    _elbo("StraightThrough", guide=None),
]
BY_LABEL = {claim.label: claim for claim in CLAIMS}
