"""What the chain is checked on: one batch, one model and guide, the noise, and both ways to look at them."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import pyro
import torch
from pyro.infer import ELBO
from torch import Tensor, nn

from compare import handwritten
from guide.posteriors import DiagonalNormal
from model.likelihoods import Bernoulli
from model.priors import StandardNormal

SEED = 0  # of the noise that both sides are given


@dataclass(frozen=True)
class Drawn:
    """One pass of the auto-encoder written by hand: heads, noise, z, the decoder's logits, and the decoder."""

    x: Tensor
    m: Tensor
    s: Tensor
    e: Tensor
    z: Tensor
    logits: Tensor
    decode: Callable[[Tensor], Tensor]


class Case:
    """A model and a guide on data x, copied into float64."""

    def __init__(self, model: nn.Module, guide: nn.Module, x: Tensor) -> None:
        # One copy of both: what they share stays shared, and the caller's stay as they are.
        self.model, self.guide = (part.double() for part in copy.deepcopy((model, guide)))
        self.x = x.double()

    @property
    def written(self) -> bool:
        """Whether people write this loss by hand: standard normal prior, Bernoulli pixels, diagonal encoder."""
        parts = (self.model.prior, self.model.likelihood, self.guide.posterior)
        known = (StandardNormal, Bernoulli, DiagonalNormal)
        return all(type(part) is cls for part, cls in zip(parts, known, strict=True))

    def by_hand(self) -> Drawn:
        """Draws as the guide does: the same call on the same generator gives the same noise."""
        m, s = self.guide.posterior.location_and_log_variance(self.x)
        e = pyro.distributions.Normal(torch.zeros_like(m), torch.ones_like(s)).rsample()
        z = handwritten.reparameterize(m, s, e)

        def decode(z: Tensor) -> Tensor:
            return self.model.likelihood.decode(z)[0]

        return Drawn(self.x, m, s, e, z, decode(z), decode)

    def objective(self, elbo: ELBO) -> nn.Module:
        return elbo(self.model, self.guide)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Everything that is trained, by name; what both sides share, once."""
        both = nn.ModuleDict({"model": self.model, "guide": self.guide})
        return {name: p for name, p in both.named_parameters() if p.requires_grad}

    def gradient(self, loss: Callable[[], Tensor], *, seed: int = SEED) -> tuple[Tensor, Tensor]:
        """The value and the gradient with respect to all parameters, end to end, in nats per datum."""
        pyro.set_rng_seed(seed)
        value = loss().sum() / len(self.x)
        parameters = list(self.parameters().values())
        found = torch.autograd.grad(value, parameters, allow_unused=True)
        filled = (torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True))
        return value.detach(), torch.cat([g.reshape(-1) for g in filled])
