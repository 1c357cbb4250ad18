"""The same VAE in NumPyro: its networks are read from the PyTorch modules, weights included."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import torch
from numpyro.infer import SVI, TraceMeanField_ELBO
from torch import nn

from data import Dataset
from guide import Guide
from model import Model

Weights = list[Any]
Function = Callable[[Weights, jax.Array], jax.Array]
_IMAGES = ("NCHW", "OIHW", "NCHW")


def _array(tensor: torch.Tensor) -> jax.Array:
    return jnp.asarray(tensor.detach().cpu().numpy())


def _linear(layer: nn.Linear) -> tuple[Weights, Function]:
    return [_array(layer.weight.T), _array(layer.bias)], lambda w, x: x @ w[0] + w[1]


def _convolution(layer: nn.Conv2d) -> tuple[Weights, Function]:
    around = [(p, p) for p in layer.padding]

    def apply(w: Weights, x: jax.Array) -> jax.Array:
        y = jax.lax.conv_general_dilated(x, w[0], layer.stride, around, dimension_numbers=_IMAGES)
        return y + w[1][:, None, None]

    return [_array(layer.weight), _array(layer.bias)], apply


def _transposed(layer: nn.ConvTranspose2d) -> tuple[Weights, Function]:
    around = [(k - 1 - p, k - 1 - p) for k, p in zip(layer.kernel_size, layer.padding, strict=True)]

    def apply(w: Weights, x: jax.Array) -> jax.Array:
        y = jax.lax.conv_transpose(x, w[0], layer.stride, around, dimension_numbers=_IMAGES, transpose_kernel=True)
        return y + w[1][:, None, None]

    return [_array(layer.weight), _array(layer.bias)], apply


def _shaped(shape: Callable[[jax.Array], tuple[int, ...]]) -> tuple[Weights, Function]:
    return [], lambda w, x: x.reshape(shape(x))


LAYERS: dict[type[nn.Module], Callable[[Any], tuple[Weights, Function]]] = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.ConvTranspose2d: _transposed,
    nn.Softplus: lambda layer: ([], lambda w, x: jax.nn.softplus(x)),
    nn.Identity: lambda layer: ([], lambda w, x: x),
    nn.Flatten: lambda layer: _shaped(lambda x: (len(x), -1)),
    nn.Unflatten: lambda layer: _shaped(lambda x: (len(x), *layer.unflattened_size)),
}


def translated(module: nn.Module) -> tuple[Weights, Function]:
    """A PyTorch network as its weights and a function of weights and input.

    Raises:
        TypeError: a layer that is not in `LAYERS`.
    """
    if type(module) in LAYERS:
        return LAYERS[type(module)](module)
    if hasattr(module, "inside"):  # a network for any leading axes: here there is one
        weights, function = translated(module.module)
        return weights, lambda w, x: function(w, x.reshape(-1, *module.inside)).reshape(len(x), *module.outputs)
    if not isinstance(module, nn.Sequential):
        raise TypeError(f"{type(module).__name__} has no translation to JAX")
    parts = [translated(layer) for layer in module]

    def apply(w: Weights, x: jax.Array) -> jax.Array:
        for own, (_, function) in zip(w, parts, strict=True):
            x = function(own, x)
        return x

    return [weights for weights, _ in parts], apply


class Loop:
    """Steps of NumPyro's SVI on one batch, binarised anew each time or not, compiled together."""

    def __init__(self, model: Model, guide: Guide, data: Dataset, batch: int, learning_rate: float) -> None:
        encoder, encode = translated(guide.posterior.encoder)
        decoder, decode = translated(model.likelihood.decoder)
        latent, bound = model.prior.latent, guide.posterior.bound

        def program(x: jax.Array) -> None:
            weights = numpyro.param("decoder", decoder)
            with numpyro.plate("batch", len(x)):
                z = numpyro.sample("z", dist.Normal(jnp.zeros(latent), 1.0).to_event(1))
                logits = decode(weights, z).reshape(x.shape)
                numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(x.ndim - 1), obs=x)

        def amortised(x: jax.Array) -> None:
            weights = numpyro.param("encoder", encoder)
            location, head = jnp.split(encode(weights, x), 2, -1)
            log_variance = bound * jnp.tanh(head / bound)
            with numpyro.plate("batch", len(x)):
                numpyro.sample("z", dist.Normal(location, jnp.exp(0.5 * log_variance)).to_event(1))

        self.svi = SVI(program, amortised, numpyro.optim.Adam(learning_rate), TraceMeanField_ELBO())
        train = _array(data.train)
        index = jnp.arange(batch)

        def drawn(key: jax.Array) -> jax.Array:
            x = train[index]
            return jax.random.bernoulli(key, x).astype(x.dtype) if data.binarize == "dynamic" else x

        @jax.jit
        def run(state: Any, key: jax.Array, steps: int) -> tuple[Any, jax.Array]:
            def body(_: int, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
                state, key = carry
                key, own = jax.random.split(key)
                return self.svi.update(state, drawn(own))[0], key

            return jax.lax.fori_loop(0, steps, body, (state, key))

        self._run = run
        self._drawn = drawn
        self._state = self.svi.init(jax.random.PRNGKey(0), drawn(jax.random.PRNGKey(1))), jax.random.PRNGKey(2)

    def __call__(self, steps: int) -> None:
        self._state = jax.block_until_ready(self._run(*self._state, steps))

    def loss(self) -> float:
        """The objective at the present weights, per datum, for one draw."""
        x = self._drawn(jax.random.PRNGKey(3))
        return float(self.svi.evaluate(self._state[0], x)) / len(x)
