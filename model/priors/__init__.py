"""p(z): modules whose `forward()` returns a distribution with batch shape () and event shape (latent,)."""

from model.priors.base import Prior
from model.priors.continuous import Laplace, Mixture, Normal, StandardNormal, StudentT
from model.priors.discrete import Bernoulli, OneHot, RelaxedBernoulli, RelaxedOneHot
from model.priors.flows import AutoregressiveFlow, SplineFlow
from model.priors.hierarchical import TwoLevel
from model.priors.vamp import VampPrior

__all__ = [
    "AutoregressiveFlow",
    "Bernoulli",
    "Laplace",
    "Mixture",
    "Normal",
    "OneHot",
    "Prior",
    "RelaxedBernoulli",
    "RelaxedOneHot",
    "SplineFlow",
    "StandardNormal",
    "StudentT",
    "TwoLevel",
    "VampPrior",
]
