"""Posteriors over real vectors beyond the Gaussian ones."""

from collections.abc import Callable, Sequence

import pyro.distributions as dist
import torch
from pyro.distributions.transforms import conditional_affine_autoregressive, conditional_neural_autoregressive
from torch import Tensor, nn

from elbolab.distributions import Chain, NormalMixture
from elbolab.networks import Network, bounded, mlp
from guide.posteriors.base import Posterior


class Laplace(Posterior):
    """q(z|x) = prod_j Laplace(z_j; m_j(x), exp(r_j(x)))."""

    def __init__(self, shape: Sequence[int], latent: int, network: Network) -> None:
        super().__init__(shape, latent, network, features=2 * latent)

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        location, log_scale = self.encoder(x).chunk(2, -1)
        return dist.Laplace(location, bounded(log_scale, 7.5).exp()).to_event(1)


class Mixture(Posterior):
    """q(z|x) = sum_c w_c(x) N(z; m_c(x), diag(exp(s_c(x)))), pathwise (Jankowiak and Karaletsos, 2019)."""

    def __init__(self, shape: Sequence[int], latent: int, network: Network, *, components: int = 3) -> None:
        """
        Args:
            components: how many Gaussians.
        """
        if latent < 2 or components < 1:
            raise ValueError(f"latent = {latent}, components = {components}: Mixture needs two latents and a component")
        super().__init__(shape, latent, network, features=components * (2 * latent + 1))
        self.components = components
        # Apart from the start: the pathwise gradient is 0/0 where two components are the same.
        self.offset = nn.Parameter(0.1 * torch.randn(components, latent))

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        parts = self.encoder(x).unflatten(-1, (self.components, -1))
        logits, location, log_variance = parts.split([1, self.latent, self.latent], -1)
        # Its gradient computes densities, not their logarithms: they have to stay within what float32 holds.
        scale = bounded(0.5 * log_variance, min(5.0, 60.0 / self.latent)).exp()
        return NormalMixture(location + self.offset, scale, bounded(logits.squeeze(-1), 10.0))


class _Conditional(Posterior):
    """z = f(e; x), e ~ N(m(x), diag(exp(s(x)))), f a chain of layers that see x through the encoder's features."""

    scores_any = False
    layer: Callable[..., nn.Module]

    def __init__(
        self,
        shape: Sequence[int],
        latent: int,
        network: Network,
        *,
        layers: int = 2,
        hidden: int = 100,
        context: int = 20,
    ) -> None:
        """
        Args:
            layers: how many.
            hidden: width of each layer's network.
            context: features of x that the layers see.
        """
        if latent < 2:
            raise ValueError(f"latent = {latent}: {type(self).__name__} lets coordinates bend each other, two at least")
        super().__init__(shape, latent, network, features=2 * latent + context)
        self.sizes = [latent, latent, context]
        self.transforms = nn.ModuleList(self.layer(latent, context, [max(hidden, latent)]) for _ in range(layers))

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        location, log_variance, context = self.encoder(x).split(self.sizes, -1)
        base = dist.Normal(location, (0.5 * bounded(log_variance)).exp()).to_event(1)
        context = bounded(context)
        return dist.TransformedDistribution(base, [transform.condition(context) for transform in self.transforms])


class Flow(_Conditional):
    """q(z|x) by inverse autoregressive flow: z = f(e; x), affine, autoregressive (Kingma et al., 2016)."""

    layer = staticmethod(conditional_affine_autoregressive)


class NeuralFlow(_Conditional):
    """q(z|x) by neural autoregressive flow: as Flow, a monotone network for every coordinate (Huang et al., 2018)."""

    layer = staticmethod(conditional_neural_autoregressive)


class TwoLevelNormal(Posterior):
    """q(z|x) = q(z1|x) q(z2|z1), both diagonal Gaussians, z = (z1, z2): the guide for the prior TwoLevel."""

    def __init__(
        self, shape: Sequence[int], latent: int, network: Network, *, top: int | None = None, hidden: int = 100
    ) -> None:
        """
        Args:
            top: dimensions of z2; half of the latents if left out.
            hidden: width of the network between the levels.
        """
        top = latent // 2 if top is None else top
        if not 0 < top < latent:
            raise ValueError(f"top = {top} of latent = {latent}: both levels have at least one dimension")
        super().__init__(shape, latent, network, features=2 * (latent - top))
        self.sizes = (latent - top, top)
        self.network = mlp([latent - top, hidden, 2 * top], "tanh")

    @staticmethod
    def _normal(heads: Tensor) -> dist.TorchDistribution:
        location, log_variance = heads.chunk(2, -1)
        return dist.Normal(location, (0.5 * bounded(log_variance)).exp()).to_event(1)

    def _upper(self, lower: Tensor) -> dist.TorchDistribution:
        return self._normal(self.network(lower))

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        return Chain(self._normal(self.encoder(x)), self._upper, self.sizes)
