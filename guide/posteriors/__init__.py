"""q(z|x): modules whose `forward(x)` returns a distribution with batch shape (batch,) and event shape (latent,)."""

from guide.posteriors.base import Posterior
from guide.posteriors.discrete import Bernoulli, OneHot, RelaxedBernoulli, RelaxedOneHot
from guide.posteriors.normal import DiagonalNormal, FullNormal, LowRankNormal
from guide.posteriors.richer import Flow, Laplace, Mixture, NeuralFlow, TwoLevelNormal

__all__ = [
    "Bernoulli",
    "DiagonalNormal",
    "Flow",
    "FullNormal",
    "Laplace",
    "LowRankNormal",
    "Mixture",
    "NeuralFlow",
    "OneHot",
    "Posterior",
    "RelaxedBernoulli",
    "RelaxedOneHot",
    "TwoLevelNormal",
]
