"""p(x|z): modules whose `forward(z)` returns a distribution over one datum."""

from model.likelihoods.base import Likelihood
from model.likelihoods.counts import (
    Multinomial,
    NegativeBinomial,
    Poisson,
    ZeroInflatedNegativeBinomial,
)
from model.likelihoods.grey import Binomial, Categorical, DiscretizedLogistic, DiscretizedLogisticMixture
from model.likelihoods.pixels import Bernoulli, Beta, ContinuousBernoulli, HeteroscedasticNormal, Laplace, Normal

__all__ = [
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "HeteroscedasticNormal",
    "Laplace",
    "Likelihood",
    "Multinomial",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "ZeroInflatedNegativeBinomial",
]
