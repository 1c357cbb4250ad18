"""Distributions and constraints that PyTorch and Pyro lack."""

from collections.abc import Callable

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from pyro.distributions import constraints
from torch import Tensor

Shape = torch.Size | list[int] | tuple[int, ...]


class _OpenUnitInterval(constraints.Constraint):
    """0 < x < 1, where a density may be infinite at the ends."""

    def check(self, value: Tensor) -> Tensor:
        return (value > 0) & (value < 1)

    def __str__(self) -> str:
        return "the open interval (0, 1)"


class _Grid(constraints.Constraint):
    """{0, 1/n, 2/n, ..., 1}."""

    is_discrete = True

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def check(self, value: Tensor) -> Tensor:
        scaled = value * self.steps
        return (value >= 0) & (value <= 1) & ((scaled - scaled.round()).abs() < 1e-3)

    def __str__(self) -> str:
        return f"the grid {{0, 1/{self.steps}, ..., 1}}"


open_unit_interval = _OpenUnitInterval()
grid = _Grid


class OnGrid(dist.TorchDistribution):
    """k ~ base on {0, ..., n}, seen as x = k / n: grey levels on the scale of the images."""

    arg_constraints = {}

    def __init__(self, base: dist.TorchDistribution, steps: int, *, validate_args: bool | None = None) -> None:
        self.base = base
        self.steps = steps
        super().__init__(base.batch_shape, base.event_shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return grid(self.steps)

    def expand(self, batch_shape: Shape, _instance: None = None) -> "OnGrid":
        return OnGrid(self.base.expand(batch_shape), self.steps, validate_args=False)

    def sample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        return self.base.sample(sample_shape) / self.steps

    def log_prob(self, value: Tensor) -> Tensor:
        return self.base.log_prob((value * self.steps).round())

    @property
    def mean(self) -> Tensor:
        return self.base.mean / self.steps


class Levels(dist.Categorical):
    """A categorical over the numbers 0, 1, ..., n, with the mean and variance that numbers have."""

    def sample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        return super().sample(sample_shape).to(self.probs)

    @property
    def mean(self) -> Tensor:
        return self.probs @ torch.arange(self.probs.shape[-1], dtype=self.probs.dtype, device=self.probs.device)

    @property
    def variance(self) -> Tensor:
        levels = torch.arange(self.probs.shape[-1], dtype=self.probs.dtype, device=self.probs.device)
        return self.probs @ levels.square() - self.mean.square()


class DiscretizedLogistic(dist.TorchDistribution):
    """A logistic density integrated over bins of width 1/n around {0, 1/n, ..., 1}; the outer bins reach to infinity.

    log P(x) = log[sigmoid((x + h - m) / s) - sigmoid((x - h - m) / s)], h = 1 / (2 n) (Salimans et al., 2017,
    PixelCNN++).
    """

    arg_constraints = {"location": constraints.real, "scale": constraints.positive}

    def __init__(self, location: Tensor, scale: Tensor, steps: int = 255, *, validate_args: bool | None = None) -> None:
        self.location, self.scale = torch.broadcast_tensors(location, scale)
        self.steps = steps
        super().__init__(self.location.shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return grid(self.steps)

    def expand(self, batch_shape: Shape, _instance: None = None) -> "DiscretizedLogistic":
        location, scale = self.location.expand(batch_shape), self.scale.expand(batch_shape)
        return DiscretizedLogistic(location, scale, self.steps, validate_args=False)

    def sample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        with torch.no_grad():
            u = torch.rand(
                self._extended_shape(torch.Size(sample_shape)), dtype=self.scale.dtype, device=self.scale.device
            )
            x = self.location + self.scale * torch.logit(u, eps=1e-6)
            return (x * self.steps).round().clamp(0, self.steps) / self.steps

    def log_prob(self, value: Tensor) -> Tensor:
        half = 0.5 / self.steps
        upper = (value + half - self.location) / self.scale
        lower = (value - half - self.location) / self.scale
        # log[sigmoid(b) - sigmoid(a)] = logsigmoid(b) + logsigmoid(-a) + log(1 - exp(a - b)), exact in both tails;
        # an outer bin has lost one of its two edges.
        inner = torch.log(-torch.expm1(-(2 * half) / self.scale)).expand_as(upper)
        first, last = value < half, value > 1 - half
        zero = torch.zeros_like(upper)
        return (
            torch.where(last, zero, F.logsigmoid(upper))
            + torch.where(first, zero, F.logsigmoid(-lower))
            + torch.where(first | last, zero, inner)
        )

    @property
    def mean(self) -> Tensor:
        """E[x] = sum over the n inner edges of P(x above the edge), / n."""
        edges = (torch.arange(self.steps, dtype=self.scale.dtype, device=self.scale.device) + 0.5) / self.steps
        above = torch.sigmoid((self.location[..., None] - edges) / self.scale[..., None])
        return above.sum(-1) / self.steps


class BagOfWords(dist.Multinomial):
    """A multinomial of as many words as each value holds; its coefficient is computed once per value, not per z."""

    def log_prob(self, value: Tensor) -> Tensor:
        orders = (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1)
        return orders + (value * self.logits.log_softmax(-1)).sum(-1)


class RelaxedOneHot(dist.RelaxedOneHotCategorical):
    """Concrete vectors whose coordinates cannot underflow to 0, where their log-density is nan."""

    def rsample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        value = super().rsample(sample_shape)
        return value.clamp(min=torch.finfo(value.dtype).tiny)

    def sample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)


class NormalMixture(dist.MixtureOfDiagNormals):
    """Pyro's mixture with pathwise gradients, drawn in any number."""

    def rsample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        if not sample_shape:
            return super().rsample()
        return self.expand(torch.Size(sample_shape) + self.batch_shape).rsample()


class Chain(dist.TorchDistribution):
    """Two vectors drawn one after the other, a ~ first and b ~ then(a), and laid side by side.

    log p(a, b) = log p(a) + log p(b|a). The value is (a, b), or (b, a) with `reverse`; `sizes` are those of a and b.
    """

    arg_constraints = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        first: dist.TorchDistribution,
        then: Callable[[Tensor], dist.TorchDistribution],
        sizes: tuple[int, int],
        *,
        reverse: bool = False,
        validate_args: bool | None = None,
    ) -> None:
        self.first, self.then, self.sizes, self.reverse = first, then, sizes, reverse
        super().__init__(first.batch_shape, torch.Size([sum(sizes)]), validate_args=validate_args)

    def expand(self, batch_shape: Shape, _instance: None = None) -> "Chain":
        first = self.first.expand(batch_shape)
        return Chain(first, self.then, self.sizes, reverse=self.reverse, validate_args=False)

    def rsample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        a = self.first.rsample(sample_shape)
        b = self.then(a).rsample()
        return torch.cat([b, a] if self.reverse else [a, b], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self.reverse:
            b, a = value.split(self.sizes[::-1], -1)
        else:
            a, b = value.split(self.sizes, -1)
        return self.first.log_prob(a) + self.then(a).log_prob(b)
