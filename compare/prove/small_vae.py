"""This project's Model and Guide at sizes small enough to be read as algebra, with every tensor in them an argument."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyro.distributions as dist
import sympy as sp
import torch
from pyro.infer import ELBO
from torch import Tensor, nn

from elbolab.graph.trace import operations
from elbolab.symbolic.interpret import Array, read, symbols
from guide import Guide
from guide.posteriors import Posterior
from model import Model, Network
from model.likelihoods import Bernoulli, Likelihood
from model.priors import Prior, StandardNormal


class _Matrix(nn.Module):
    """z -> z w."""

    def __init__(self, w: Tensor, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.w = w
        self.shape = shape

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.w).reshape(*z.shape[:-1], *self.shape)


class _Linear(Network):
    """A decoder that is a matrix; there is no encoder, its outputs are given."""

    def __init__(self, w: Tensor) -> None:
        self.w = w

    def encoder(self, shape: tuple[int, ...], features: int) -> nn.Module:
        return nn.Identity()

    def decoder(self, latent: int, shape: tuple[int, ...]) -> nn.Module:
        return _Matrix(self.w, tuple(shape))


class _Heads(Posterior):
    """q(z|x) = N(m, exp(s)) as DiagonalNormal has it, with m and s given."""

    def __init__(self, m: Tensor, s: Tensor) -> None:
        super().__init__((1,), m.shape[-1], _Linear(m), features=1)
        self.m, self.s = m, s

    def forward(self, x: Tensor) -> dist.TorchDistribution:
        return dist.Normal(self.m, (0.5 * self.s).exp()).to_event(1)


class _Given(Prior):
    """p(z) = N(a, exp(2 r)), a and r given."""

    def __init__(self, a: Tensor, r: Tensor) -> None:
        super().__init__(a.shape[-1])
        self.a, self.r = a, r

    def forward(self) -> dist.TorchDistribution:
        return dist.Normal(self.a, self.r.exp()).to_event(1)


class _Gaussian(Likelihood):
    """p(x|z) = N(decoder(z), exp(u)), u given."""

    def __init__(self, latent: int, pixels: int, w: Tensor, u: Tensor) -> None:
        super().__init__(latent, (pixels,), _Linear(w))
        self.u = u

    def forward(self, z: Tensor) -> dist.TorchDistribution:
        (location,) = self.decode(z)
        return dist.Normal(location, (0.5 * self.u).exp()).to_event(1)


class Programs:
    """Model and Guide for `size` pixels and latents, and how to read what is computed with them.

    Functions take the tensors x, m, s of shape (data, pixels or latents), w of shape (latents, pixels), and then those
    of a variation: the scalar beta, a prior's a and r, a Gaussian likelihood's u.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        data = 2 if size == 1 else 1
        self.described = f"{data} {'datum' if data == 1 else 'data'}, {size} pixels, {size} latents"
        self.inputs = [symbols(name, *shape) for name, shape in zip("xmsw", self._shapes(data), strict=True)]

    def _shapes(self, data: int) -> list[tuple[int, int]]:
        return [(data, self.size), (data, self.size), (data, self.size), (self.size, self.size)]

    def model(self, w: Tensor, *, prior: Prior | None = None, likelihood: Likelihood | None = None) -> Model:
        prior = prior or StandardNormal(self.size)
        return Model(prior, likelihood or Bernoulli(self.size, (self.size,), _Linear(w)))

    def guide(self, m: Tensor, s: Tensor) -> Guide:
        return Guide(_Heads(m, s))

    def objective(self, elbo: ELBO, variation: str = "") -> Callable[..., Tensor]:
        """The stock objective on the programs, as a function of tensors; `variation` says what the last ones are."""

        held: dict[str, nn.Module] = {}

        def model(x: Tensor) -> Tensor:
            return held["model"](x)

        def guide(x: Tensor) -> Tensor:
            return held["guide"](x)

        # The same two programs at every call, whatever tensors they have: an estimator reads them once.
        def loss(x: Tensor, m: Tensor, s: Tensor, w: Tensor, *more: Tensor) -> Tensor:
            held.update(model=VARIATIONS[variation](self, w, *more), guide=self.guide(m, s))
            if variation == "beta":
                (held["guide"].beta,) = more
            return elbo.differentiable_loss(model, guide, x)

        return loss

    def _weighted(self, w: Tensor, beta: Tensor) -> Model:
        model = self.model(w)
        model.beta = beta
        return model

    def _with_prior(self, w: Tensor, a: Tensor, r: Tensor) -> Model:
        return self.model(w, prior=_Given(a, r))

    def _with_gaussian(self, w: Tensor, u: Tensor) -> Model:
        return self.model(w, likelihood=_Gaussian(self.size, self.size, w, u))

    def read(self, function: Callable[..., Any], variation: str = "") -> list[Array]:
        """What a function of these tensors computes, as expressions."""
        more = {
            "": [],
            "beta": [symbols("beta")],
            "prior": [symbols("a", self.size), symbols("r", self.size)],
            "gaussian": [symbols("u")],
        }[variation]
        return self._read(function, [*self.inputs, *more])

    def read_gradient(self, function: Callable[..., Tensor]) -> list[Array]:
        """The gradients in m, s and w, from the backward pass that autograd runs."""

        def gradient(x: Tensor, *leaves: Tensor) -> list[Tensor]:
            leaves = [leaf.detach().requires_grad_() for leaf in leaves]
            return list(torch.autograd.grad(function(x, *leaves), leaves))

        return self._read(gradient, self.inputs)

    def scalars(self, function: Callable[..., Tensor]) -> list[Array]:
        """The same for a model of one datum, one pixel and one latent: x, m, s, w and a log-variance u."""
        return self._read(function, [symbols(name, 1) for name in "xmswu"])

    def pixel(self, function: Callable[..., Tensor]) -> list[Array]:
        """A function of one logit and its pixel; the logit is log o, o the pixel's odds y / (1 - y), positive."""
        return self._read(function, [np.array([sp.log(sp.Symbol("o", positive=True))], object), symbols("x", 1)])

    def softplus(self, function: Callable[..., Tensor]) -> list[Array]:
        """A function of m and of a head h whose softplus is the standard deviation."""
        return self._read(function, [symbols("m", 1, self.size), symbols("h", 1, self.size)])

    @staticmethod
    def _read(function: Callable[..., Any], inputs: list[Array]) -> list[Array]:
        examples = (torch.rand(np.shape(value), dtype=torch.float64) for value in inputs)
        graph = operations(function, *examples)
        return read(graph, inputs)


VARIATIONS = {
    "": Programs.model,
    "beta": Programs._weighted,
    "prior": Programs._with_prior,
    "gaussian": Programs._with_gaussian,
}
