"""Priors that are a standard normal bent by invertible networks of Pyro's."""

import pyro.distributions as dist
import torch
from pyro.distributions.transforms import AffineAutoregressive, permute, spline_coupling
from pyro.nn import AutoRegressiveNN
from torch import Tensor, nn

from model.priors.base import Prior


class _Affine(AffineAutoregressive):
    """Pyro's inverse autoregressive layer, whose inverse keeps the precision of its argument."""

    def _inverse(self, y: Tensor) -> Tensor:
        x = torch.zeros_like(y)
        for i in self.arn.get_permutation():
            mean, log_scale = self.arn(x)
            log_scale = log_scale.clamp(self.log_scale_min_clip, self.log_scale_max_clip)
            column = (y[..., i] - mean[..., i]) * (-log_scale[..., i]).exp()
            x = x.index_copy(-1, i[None], column[..., None])
        self._cached_log_scale = self.arn(x)[1].clamp(self.log_scale_min_clip, self.log_scale_max_clip)
        return x


class _Flow(Prior):
    """p(z) = N(f(z); 0, I) |det df/dz|, f a chain of layers; a subclass gives a layer and the way it is walked."""

    def __init__(self, latent: int, transforms: list[dist.TransformModule]) -> None:
        super().__init__(latent)
        if latent < 2:
            raise ValueError(f"latent = {latent}: {type(self).__name__} lets coordinates bend each other, two at least")
        self.transforms = nn.ModuleList(t for t in transforms if isinstance(t, nn.Module))
        self._chain = transforms
        self.register_buffer("location", torch.zeros(latent))
        self.register_buffer("scale", torch.ones(latent))

    def _base(self) -> dist.TorchDistribution:
        return dist.Normal(self.location, self.scale).to_event(1)


class AutoregressiveFlow(_Flow):
    """p(z) = N(f(z); 0, I) |det df/dz|, f of masked autoregressive layers (Papamakarios et al., 2017).

    f is an inverse autoregressive flow (Kingma et al., 2016) walked backwards: a density takes one pass, a sample one
    pass per coordinate.
    """

    def __init__(self, latent: int, *, layers: int = 2, hidden: int = 100) -> None:
        """
        Args:
            layers: how many.
            hidden: width of each layer's network.
        """
        super().__init__(latent, [_Affine(AutoRegressiveNN(latent, [max(hidden, latent)])) for _ in range(layers)])

    def forward(self) -> dist.TorchDistribution:
        return dist.TransformedDistribution(self._base(), [transform.inv for transform in self._chain])


class SplineFlow(_Flow):
    """p(z) = N(f(z); 0, I) |det df/dz|, f of rational spline couplings (Durkan et al., 2019), fast both ways.

    Outside of [-bound, bound] the flow is the identity, and p(z) has the tails of a Normal.
    """

    def __init__(self, latent: int, *, layers: int = 2, hidden: int = 100, bins: int = 8, bound: float = 5.0) -> None:
        """
        Args:
            layers: how many.
            hidden: width of each layer's network.
            bins: pieces of a spline.
            bound: where the splines end.
        """
        if latent < 2:
            super().__init__(latent, [])
        chain: list[dist.TransformModule] = []
        for _ in range(layers):
            chain.append(spline_coupling(latent, hidden_dims=[hidden, hidden], count_bins=bins, bound=bound))
            # Every second layer bends the coordinates that the first only looked at.
            chain.append(permute(latent, torch.arange(latent).flip(0)))
        super().__init__(latent, chain)

    def forward(self) -> dist.TorchDistribution:
        return dist.TransformedDistribution(self._base(), self._chain)
