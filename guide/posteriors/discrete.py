"""Posteriors over bits and categories, and over their relaxations."""

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor

from elbolab.distributions import RelaxedOneHot as RelaxedOneHotDistribution
from elbolab.networks import Network, bounded
from guide.posteriors.base import Posterior


class Bernoulli(Posterior):
    """q(z|x) = prod_j Bernoulli(z_j; sigmoid(l_j(x))): bits. There is no pathwise gradient."""

    support = constraints.boolean

    def __init__(self, shape: Sequence[int], latent: int, network: Network) -> None:
        super().__init__(shape, latent, network, features=latent)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        return dist.Bernoulli(logits=bounded(self.encoder(x))).to_event(1)


class OneHot(Posterior):
    """q(z|x) = Categorical(z; softmax(l(x))), z a one-hot code. There is no pathwise gradient."""

    support = constraints.one_hot

    def __init__(self, shape: Sequence[int], latent: int, network: Network) -> None:
        super().__init__(shape, latent, network, features=latent)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        return dist.OneHotCategorical(logits=bounded(self.encoder(x)))


class _Relaxed(Posterior):
    """Logits from the encoder, and a temperature."""

    def __init__(self, shape: Sequence[int], latent: int, network: Network, *, temperature: float = 2 / 3) -> None:
        """
        Args:
            temperature: towards 0 the relaxation becomes discrete and its gradient's variance grows.
        """
        super().__init__(shape, latent, network, features=latent)
        if not temperature > 0:
            raise ValueError(f"temperature = {temperature}: a relaxation's temperature is positive")
        self.register_buffer("temperature", torch.tensor(temperature))


class RelaxedBernoulli(_Relaxed):
    """q(z|x) = prod_j BinaryConcrete(z_j; l_j(x), t) on (0, 1) (Maddison, Mnih and Teh, 2017)."""

    support = constraints.unit_interval

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        return dist.RelaxedBernoulli(self.temperature, logits=bounded(self.encoder(x))).to_event(1)


class RelaxedOneHot(_Relaxed):
    """q(z|x) = Concrete(z; l(x), t) on the simplex (Maddison, Mnih and Teh, 2017; Jang et al., 2017)."""

    support = constraints.simplex

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        return RelaxedOneHotDistribution(self.temperature, logits=bounded(self.encoder(x)))
