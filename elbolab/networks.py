"""Network families: each gives an encoder x -> features and the decoder that mirrors it.

Both broadcast over any leading axes, so that (particles, batch, latent) works like (batch, latent).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

Activation = Literal["softplus", "tanh", "relu", "leaky"]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"softplus": nn.Softplus, "tanh": nn.Tanh, "relu": nn.ReLU}
ACTIVATIONS["leaky"] = partial(nn.LeakyReLU, 0.3)  # the slope of Shi et al., 2022


class _Log1p(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.log1p()


INPUTS: dict[str, type[nn.Module]] = {"plain": nn.Identity, "log1p": _Log1p}


class Network(ABC):
    """The contract of a family: an encoder (*, *shape) -> (*, features), a decoder (*, latent) -> (*, *shape)."""

    @abstractmethod
    def encoder(self, shape: Sequence[int], features: int) -> nn.Module:
        """Returns a module that maps (*, *shape) to (*, features)."""

    @abstractmethod
    def decoder(self, latent: int, shape: Sequence[int]) -> nn.Module:
        """Returns a module that maps (*, latent) to (*, *shape), where shape is (heads, *datum)."""


def _widths(hidden: int | Sequence[int]) -> list[int]:
    widths = [hidden] if isinstance(hidden, int) else list(hidden)
    if not all(width > 0 for width in widths):
        raise ValueError(f"hidden = {hidden}: widths of hidden layers are positive integers, such as 400 or [400, 200]")
    return widths


def bounded(head: Tensor, bound: float = 15.0) -> Tensor:
    """bound * tanh(head / bound): the head itself near 0, never beyond +-bound, with a gradient everywhere.

    For a log-scale: its exponential can then neither overflow nor vanish in float32.
    """
    return bound * torch.tanh(head / bound)


def mlp(widths: Sequence[int], activation: Activation, normalize: bool = False) -> nn.Sequential:
    """Linear layers from widths[0] to widths[-1] with the activation between them, each normalised before it or not."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        norm = [nn.LayerNorm(outputs)] if normalize else []
        layers += [nn.Linear(inputs, outputs), *norm, ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


class MLP(Network):
    """Fully connected: x - hidden... - features, and latent - ...hidden - x."""

    def __init__(
        self,
        hidden: int | Sequence[int] = 400,
        *,
        activation: Activation = "softplus",
        inputs: Literal["plain", "log1p"] = "plain",
        normalize: bool = False,
    ) -> None:
        """
        Args:
            hidden: the width of the hidden layer, or a list of widths from the data to the latent.
            activation: what stands between the layers.
            inputs: what the encoder looks at: x, or log(1 + x), for counts.
            normalize: layer normalisation (Ba, Kiros and Hinton, 2016, arXiv 1607.06450) before every activation.
        """
        self.widths = _widths(hidden)
        self.activation = activation
        self.inputs = inputs
        self.normalize = normalize

    def encoder(self, shape: Sequence[int], features: int) -> nn.Module:
        return nn.Sequential(
            INPUTS[self.inputs](),
            nn.Flatten(-len(shape)),
            mlp([prod(shape), *self.widths, features], self.activation, self.normalize),
        )

    def decoder(self, latent: int, shape: Sequence[int]) -> nn.Module:
        return nn.Sequential(
            mlp([latent, *reversed(self.widths), prod(shape)], self.activation, self.normalize),
            nn.Unflatten(-1, tuple(shape)),
        )


class Convolutional(Network):
    """Two strided convolutions and a dense layer, and their transposes, for images (height, width) or (c, h, w)."""

    def __init__(
        self, hidden: int | Sequence[int] = 400, *, channels: int = 32, activation: Activation = "softplus"
    ) -> None:
        """
        Args:
            hidden: widths of the dense layers between the convolutions and the latent.
            channels: feature maps of the first convolution; the second has twice as many.
            activation: what stands between the layers.
        """
        self.widths = _widths(hidden)
        if channels < 1:
            raise ValueError(f"channels = {channels}: one feature map at least")
        self.channels = channels
        self.activation = activation

    def _maps(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """The second convolution's output: channels, height, width."""
        if len(shape) < 2 or shape[-2] % 4 or shape[-1] % 4:
            raise ValueError(
                f"{type(self).__name__} halves an image twice: it needs data whose last two axes are multiples of 4,"
                f" not data of shape {tuple(shape)}. MLP takes any shape."
            )
        return 2 * self.channels, shape[-2] // 4, shape[-1] // 4

    def _after(self, channels: int) -> list[nn.Module]:
        """What follows a convolution with so many feature maps."""
        return [ACTIVATIONS[self.activation]()]

    def encoder(self, shape: Sequence[int], features: int) -> nn.Module:
        maps = self._maps(shape)
        image = (prod(shape[:-2]), *shape[-2:])
        convolutions = nn.Sequential(
            nn.Conv2d(image[0], self.channels, 4, stride=2, padding=1),
            *self._after(self.channels),
            nn.Conv2d(self.channels, 2 * self.channels, 4, stride=2, padding=1),
            *self._after(2 * self.channels),
            nn.Flatten(),
            mlp([prod(maps), *self.widths, features], self.activation),
        )
        return _AnyBatch(convolutions, len(shape), image, (features,))

    def decoder(self, latent: int, shape: Sequence[int]) -> nn.Module:
        maps = self._maps(shape)
        convolutions = nn.Sequential(
            mlp([latent, *reversed(self.widths), prod(maps)], self.activation),
            ACTIVATIONS[self.activation](),
            nn.Unflatten(-1, maps),
            nn.ConvTranspose2d(2 * self.channels, self.channels, 4, stride=2, padding=1),
            *self._after(self.channels),
            nn.ConvTranspose2d(self.channels, prod(shape[:-2]), 4, stride=2, padding=1),
        )
        return _AnyBatch(convolutions, 1, (latent,), tuple(shape))


class Residual(Convolutional):
    """Two strided convolutions and their transposes with residual blocks after each, for images.

    A block adds to h what it computes, h + conv(act(norm(conv(act(norm(h)))))) (He et al., 2016, Identity Mappings in
    Deep Residual Networks, arXiv 1603.05027), normalised over groups of channels of one image (Wu and He, 2018, Group
    Normalization, arXiv 1803.08494), so that data stay independent.
    """

    def __init__(
        self,
        hidden: int | Sequence[int] = 400,
        *,
        channels: int = 32,
        blocks: int = 1,
        activation: Activation = "relu",
    ) -> None:
        """
        Args:
            hidden: widths of the dense layers between the convolutions and the latent.
            channels: feature maps of the first convolution, a multiple of 4; the second has twice as many.
            blocks: residual blocks after each convolution.
            activation: what stands between the layers.
        """
        super().__init__(hidden, channels=channels, activation=activation)
        if channels < 4 or channels % 4 or blocks < 1:
            raise ValueError(f"channels = {channels}, blocks = {blocks}: a multiple of 4, and a block at least")
        self.blocks = blocks

    def _after(self, channels: int) -> list[nn.Module]:
        return [_Block(channels, self.activation) for _ in range(self.blocks)] + [ACTIVATIONS[self.activation]()]


class _Block(nn.Module):
    def __init__(self, channels: int, activation: Activation) -> None:
        super().__init__()
        parts = [
            part
            for _ in range(2)
            for part in (
                nn.GroupNorm(4, channels),
                ACTIVATIONS[activation](),
                nn.Conv2d(channels, channels, 3, padding=1),
            )
        ]
        self.change = nn.Sequential(*parts)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.change(h)


class _AnyBatch(nn.Module):
    """Lets a module that takes one batch axis, (n, *inside), take any leading axes: (*, *event) -> (*, *outputs)."""

    def __init__(self, module: nn.Module, event_dims: int, inside: tuple[int, ...], outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.module = module
        self.event_dims = event_dims
        self.inside = inside
        self.outputs = outputs

    def forward(self, value: Tensor) -> Tensor:
        leading = value.shape[: value.dim() - self.event_dims]
        return self.module(value.reshape(-1, *self.inside)).reshape(*leading, *self.outputs)


class InBFloat16(Network):
    """Another family, computing in bfloat16; what goes in and comes out, and the parameters, are float32."""

    def __init__(self, family: Network, device: str) -> None:
        self.family = family
        self.device = device

    def encoder(self, shape: Sequence[int], features: int) -> nn.Module:
        return _InBFloat16(self.family.encoder(shape, features), self.device)

    def decoder(self, latent: int, shape: Sequence[int]) -> nn.Module:
        return _InBFloat16(self.family.decoder(latent, shape), self.device)


class _InBFloat16(nn.Module):
    def __init__(self, module: nn.Module, device: str) -> None:
        super().__init__()
        self.module = module
        self.device = device

    def forward(self, value: Tensor) -> Tensor:
        with torch.autocast(self.device, torch.bfloat16, cache_enabled=False):
            return self.module(value).float()
