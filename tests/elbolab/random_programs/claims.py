"""What every estimator claims, read from its docstring: which bounds its value and its two gradients are of.

A bound is a mixture {(K, alpha): weight} of VR-IWAE bounds: (K, 0) is L_K, (1, 0) the ELBO. Where an estimator is
biased for the guide, what remains is its value and the gradient of what the model alone depends on.
"""

from dataclasses import dataclass, replace
from typing import Any

import elbolab.estimators
from elbolab.estimators import Estimator

Bound = dict[tuple[int, float], float]
ELBO: Bound = {(1, 0.0): 1.0}


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
        return any(k > 1 for bound in (self.value, self.model, self.guide or {}) for k, _ in bound)

    def arguments(self, draws: int, vectorize: bool = True) -> dict[str, Any]:
        """Of the constructor, for so many draws a call if that is free."""
        vectorized = {} if vectorize else {"vectorize_particles": False}
        return self.options | dict.fromkeys(self.free, draws) | vectorized

    def make(self, draws: int, vectorize: bool = True) -> Estimator:
        return getattr(elbolab.estimators, self.name)(**self.arguments(draws, vectorize))


def _elbo(label: str, guide: Bound | None = ELBO, least: int = 1, learns: bool = False, **options) -> Claim:
    return Claim(label, options, ELBO, ELBO, guide, ("num_particles",), least, learns)


def _iwae(label: str, particles: int, alpha: float = 0.0, guide: bool = True, learns: bool = False, **options) -> Claim:
    """For L_K, or a bound of powers of the weights."""
    bound = {(particles, alpha): 1.0}
    more = {"num_particles": particles} | ({"alpha": alpha} if alpha else {}) | options
    return Claim(label, more, bound, bound, bound if guide else None, learns=learns)


def _few(claim: Claim, particles: int) -> Claim:
    """A number of particles that is part of the estimator."""
    return replace(claim, free=(), options=claim.options | {"num_particles": particles})


MIXED = {(1, 0.0): 0.3, (2, 0.0): 0.7}
PAIR, FOUR = {(2, 0.0): 1.0}, {(4, 0.0): 1.0}
CLAIMS = [
    _elbo("Pathwise"),
    _elbo("Pathwise(antithetic)", least=2, sampling="antithetic"),
    _elbo("Pathwise(sobol)", least=2, sampling="sobol"),
    _elbo("PathwiseAnalyticKL"),
    _elbo("StickingTheLanding"),
    _elbo("FreeBits(nats=0)", nats=0.0),
    _elbo("MeasureValued"),
    _elbo("PerSite"),
    _elbo("PerSite(2)", least=2),
    _elbo("REINFORCE"),
    _elbo("MovingAverage"),
    _elbo("NVIL", learns=True),
    _elbo("RLOO", least=2),
    _few(_elbo("TVO(2, partitions=1)", partitions=1), 2),
    _iwae("VIMCO(2)", 2),
    _iwae("VIMCO(3)", 3),
    _iwae("VIMCOStar(2)", 2),
    _iwae("VIMCOStar(2, alpha=0.5)", 2, 0.5),
    _iwae("OVIS(2)", 2, guide=False),
    _iwae("OVIS(2, gamma=0)", 2, gamma=0.0),
    _iwae("OVISMonteCarlo(2)", 2),
    _iwae("IWAE(2)", 2),
    _iwae("IWAE(3)", 3),
    _iwae("DReG(2)", 2),
    _iwae("DReG(3)", 3),
    _iwae("GDReG(2)", 2),
    _iwae("VRIWAE(2)", 2, 0.4),
    _iwae("VRDReG(2)", 2, 0.4),
    Claim("CUBO(2)", {"num_particles": 2}, PAIR, PAIR, {(2, -1.0): -1.0}),
    _iwae("IWAEStickingTheLanding(2)", 2, guide=False),
    Claim("CIWAE(2)", {"num_particles": 2, "beta": 0.3}, MIXED, MIXED, MIXED),
    Claim("MIWAE(2)", {"num_particles": 2}, PAIR, PAIR, PAIR, ("batches",)),
    Claim("PIWAE(1, batches=2)", {"num_particles": 1, "batches": 2}, PAIR, PAIR, ELBO),
    Claim("PIWAE(2, batches=2)", {"num_particles": 2, "batches": 2}, FOUR, FOUR, PAIR),
    _iwae("WakePhi(2)", 2, guide=False),
    _iwae("WakePhiDReG(2)", 2, guide=False),
    _elbo("ARM"),
    _elbo("DisARM"),
    _few(_elbo("ARMS(3)"), 3),
    _elbo("DisARMIW"),
    _elbo("DisARMSB"),
    _elbo("DisARMTree"),
    _elbo("MuProp"),
    _elbo("REBAR"),
    _elbo("RELAX", learns=True),
    _few(_elbo("DoubleCV(2)", learns=True), 2),
    _few(_elbo("RODEO(2)", learns=True), 2),
    _few(_elbo("Enumeration"), 1),
    _elbo("Concrete", guide=None),
    _elbo("STGumbel", guide=None),
    _elbo("GumbelRao", guide=None),
    _elbo("StraightThrough", guide=None),
    _elbo("GappedStraightThrough", guide=None),
    _elbo("ReinMax", guide=None),
]
BY_LABEL = {claim.label: claim for claim in CLAIMS}
