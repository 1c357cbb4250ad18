"""Programs with several latents, plates and scales, to try estimators on."""

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import nn

from elbolab.oracles.quadrature import expected_log_mean, normal_nodes


class ScoreNormal(dist.Normal):
    """A normal whose draws carry no gradient."""

    has_rsample = False


def parameter(*values):
    return nn.Parameter(torch.tensor(values, dtype=torch.float64).squeeze())


class DeepModel(nn.Module):
    """z ~ N(m, 1), y|z ~ N(a z, I) in two dimensions, x|y ~ N(sum y + b, 1) for every one of 3 pixels.

    The latents' densities are weighed by beta; of `size` data there may be but a few, which `subsample` names.
    """

    def __init__(self, normal=dist.Normal, beta=1.0, size=None, subsample=None):
        super().__init__()
        self.normal, self.beta, self.size, self.subsample = normal, beta, size, subsample
        self.mean, self.slope, self.offset = parameter(0.3), parameter(0.7, -0.4), parameter(0.1, 0.2, -0.3)

    def batch(self, x):
        if self.subsample is None:
            return pyro.plate("batch", len(x), dim=-1)
        return pyro.plate("batch", self.size, subsample=self.subsample, dim=-1)

    def forward(self, x):
        with self.batch(x):
            with poutine.scale(scale=self.beta):
                z = pyro.sample("z", self.normal(self.mean, 1.0))
                y = pyro.sample("y", self.normal(self.slope * z[..., None], 1.0).to_event(1))
            with pyro.plate("pixels", 3, dim=-2):
                pyro.sample("x", dist.Normal(y.sum(-1) + self.offset[:, None], 1.0), obs=x.T)


class DeepGuide(DeepModel):
    """z ~ N(c + mean x, s), y|z ~ N(a z + x, 1)."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.log_scale = parameter(-0.2)

    def forward(self, x):
        with self.batch(x), poutine.scale(scale=self.beta):
            z = pyro.sample("z", self.normal(self.mean + self.offset @ x.T, self.log_scale.exp()))
            loc = self.slope * z[..., None] + x[:, :2]
            pyro.sample("y", self.normal(loc, 0.8).to_event(1))


class Chain:
    """z ~ N(m, 1), y|z ~ N(a z, 1), x|y ~ N(y, 1); q(z|x) = N(b x, e^2s), q(y|z, x) = N(c z + d x, e^2t).

    Two layers in the guide, and a scale on each; every bound is an integral in two dimensions.
    """

    def __init__(self, betas=(1.0, 1.0)):
        self.betas = betas
        self.x = torch.tensor([1.2], dtype=torch.float64)
        self.model, self.guide = _ChainModel(betas), _ChainGuide(betas)

    def iwae(self, particles):
        nodes, log_measure = normal_nodes(50, 2)
        first, second = self.guide.first(self.x), self.guide.second
        z = first.mean + first.stddev * nodes[:, :1]
        q = second(z, self.x)
        y = q.mean + q.stddev * nodes[:, 1:]
        layers = [
            self.model.first().log_prob(z) - first.log_prob(z),
            self.model.second(z).log_prob(y) - q.log_prob(y),
        ]
        log_weight = dist.Normal(y, 1.0).log_prob(self.x) + sum(
            beta * layer for beta, layer in zip(self.betas, layers, strict=True)
        )
        return expected_log_mean(log_weight, log_measure, particles)

    def elbo(self):
        return self.iwae(1)

    def wake(self):
        raise NotImplementedError


class _ChainModel(nn.Module):
    def __init__(self, betas):
        super().__init__()
        self.betas = betas
        self.mean, self.slope = parameter(0.4), parameter(0.8)

    def first(self):
        return dist.Normal(self.mean, 1.0)

    def second(self, z):
        return dist.Normal(self.slope * z, 1.0)

    def forward(self, x):
        with pyro.plate("batch", len(x)):
            with poutine.scale(scale=self.betas[0]):
                z = pyro.sample("z", self.first())
            with poutine.scale(scale=self.betas[1]):
                y = pyro.sample("y", self.second(z))
            pyro.sample("x", dist.Normal(y, 1.0), obs=x)


class _ChainGuide(nn.Module):
    def __init__(self, betas):
        super().__init__()
        self.betas = betas
        self.b, self.s, self.c, self.d, self.t = (parameter(v) for v in (-0.3, -0.1, -0.5, 0.2, -0.2))

    def first(self, x):
        return dist.Normal(self.b * x, self.s.exp())

    def second(self, z, x):
        return dist.Normal(self.c * z + self.d * x, self.t.exp())

    def forward(self, x):
        with pyro.plate("batch", len(x)):
            with poutine.scale(scale=self.betas[0]):
                z = pyro.sample("z", self.first(x))
            with poutine.scale(scale=self.betas[1]):
                pyro.sample("y", self.second(z, x))
