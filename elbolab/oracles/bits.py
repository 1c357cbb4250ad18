"""Models of bits and of one-hot codes, small enough that every expectation is a sum that is written out here."""

import math
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from pyro import poutine
from torch import Tensor, nn

from elbolab.oracles.enumerated import Enumerated


class _Decoder(nn.Module):
    """p(z) prod_i Bernoulli(x_i; sigmoid(y_i)), y = U tanh(W z + a) + b: the decoder mixes all that z has."""

    def __init__(self, latent: int, datum: int, hidden: int, normal: "_Normal") -> None:
        super().__init__()
        self.prior = nn.Parameter(0.5 * normal(latent))
        self.inner, self.inner_offset = nn.Parameter(normal(hidden, latent)), nn.Parameter(0.5 * normal(hidden))
        self.outer, self.outer_offset = nn.Parameter(normal(datum, hidden)), nn.Parameter(0.5 * normal(datum))

    def output(self, z: Tensor) -> Tensor:
        return (z @ self.inner.T + self.inner_offset).tanh() @ self.outer.T + self.outer_offset


class _Encoder(nn.Module):
    """Logits V x + c."""

    def __init__(self, latent: int, datum: int, normal: "_Normal") -> None:
        super().__init__()
        self.weight, self.offset = nn.Parameter(0.7 * normal(latent, datum)), nn.Parameter(0.5 * normal(latent))

    def logits(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + self.offset


class _BitsModel(_Decoder):
    beta: float = 1.0

    def forward(self, x: Tensor) -> None:
        with pyro.plate("batch", len(x)):
            with poutine.scale(scale=self.beta):
                z = pyro.sample("z", dist.Bernoulli(logits=self.prior).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.output(z)).to_event(1), obs=x)


class _BitsGuide(_Encoder):
    beta: float = 1.0

    def forward(self, x: Tensor) -> None:
        with pyro.plate("batch", len(x)), poutine.scale(scale=self.beta):
            pyro.sample("z", dist.Bernoulli(logits=self.logits(x)).to_event(1))


class Bits(Enumerated):
    """A Bernoulli VAE of a few bits: 2^bits terms in the ELBO, 2^(bits K) in the K-sample bound."""

    model: _BitsModel
    guide: _BitsGuide

    def __init__(
        self, bits: int = 3, datum: int = 4, *, data: int = 2, hidden: int = 3, beta: float = 1.0, seed: int = 0
    ) -> None:
        """
        Args:
            bits, datum, data, hidden: of z, of x, how many data, units of the decoder's layer.
            beta: weighs log p(z) and log q(z|x) in the bounds.
            seed: of the parameters and the data.
        """
        normal = _Normal(seed)
        self.model, self.guide = _BitsModel(bits, datum, hidden, normal), _BitsGuide(bits, datum, normal)
        self.model.beta = self.guide.beta = self.beta = beta
        self.x = (normal(data, datum) > 0).double()
        self.z = torch.cartesian_prod(*[torch.arange(2.0, dtype=torch.float64)] * bits).reshape(-1, bits)

    def log_p(self) -> Tensor:
        prior = _bernoulli(self.model.prior, self.z)
        likelihood = _bernoulli(self.model.output(self.z)[:, None], self.x)
        return self.beta * prior[:, None] + likelihood

    def log_q(self) -> Tensor:
        return self.beta * self.log_density()

    def log_density(self) -> Tensor:
        return _bernoulli(self.guide.logits(self.x), self.z[:, None])


class _CodesModel(_Decoder):
    def forward(self, x: Tensor) -> None:
        with pyro.plate("batch", len(x)):
            z = pyro.sample("z", dist.OneHotCategorical(logits=self.prior))
            pyro.sample("x", dist.Bernoulli(logits=self.output(z)).to_event(1), obs=x)


class _CodesGuide(_Encoder):
    def forward(self, x: Tensor) -> None:
        with pyro.plate("batch", len(x)):
            pyro.sample("z", dist.OneHotCategorical(logits=self.logits(x)))


class Codes(Enumerated):
    """A VAE whose latent is the one-hot code of one of a few categories: a mixture."""

    model: _CodesModel
    guide: _CodesGuide

    def __init__(self, categories: int = 4, datum: int = 4, *, data: int = 2, hidden: int = 3, seed: int = 0) -> None:
        """
        Args:
            categories, datum, data, hidden: of z, of x, how many data, units of the decoder's layer.
            seed: of the parameters and the data.
        """
        normal = _Normal(seed)
        self.model = _CodesModel(categories, datum, hidden, normal)
        self.guide = _CodesGuide(categories, datum, normal)
        self.x = (normal(data, datum) > 0).double()

    def log_p(self) -> Tensor:
        z = torch.eye(len(self.model.prior), dtype=torch.float64)
        likelihood = _bernoulli(self.model.output(z)[:, None], self.x)
        return self.model.prior.log_softmax(0)[:, None] + likelihood

    def log_q(self) -> Tensor:
        return self.guide.logits(self.x).log_softmax(-1).T


class _OneBitModel(nn.Module):
    def __init__(self, logit: float) -> None:
        super().__init__()
        self.prior = nn.Parameter(torch.tensor(logit, dtype=torch.float64))

    def forward(self, x: Tensor) -> None:
        with pyro.plate("batch", len(x)):
            b = pyro.sample("b", dist.Bernoulli(logits=self.prior))
            pyro.sample("t", dist.Normal(b, math.sqrt(0.5)), obs=x)


class _OneBitGuide(nn.Module):
    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(logit, dtype=torch.float64))

    def forward(self, x: Tensor) -> None:
        with pyro.plate("batch", len(x)):
            pyro.sample("b", dist.Bernoulli(logits=self.logit))


class OneBit(Enumerated):
    """The toy -E[(b - t)^2], b ~ Bernoulli(sigmoid(l)) (Tucker et al., 2017), as an ELBO: t|b ~ N(b, 1/2).

    ELBO = -s (1 - t)^2 - (1 - s) t^2 - log(pi) / 2 + s log p + (1 - s) log(1 - p) + H(s), s = sigmoid(l), p that of the
    prior's logit a. Its derivative by l is s (1 - s) [2 t - 1 + a - l].
    """

    model: _OneBitModel
    guide: _OneBitGuide

    def __init__(self, targets: Sequence[float] = (0.45,), *, logit: float = 0.5, prior: float = -0.5) -> None:
        """
        Args:
            targets: the data t.
            logit: l, of q.
            prior: a, of p.
        """
        self.model, self.guide = _OneBitModel(prior), _OneBitGuide(logit)
        self.x = torch.tensor(targets, dtype=torch.float64)

    def elbo(self) -> Tensor:
        s, a, t = self.guide.logit.sigmoid(), self.model.prior, self.x
        error = s * (1 - t).square() + (1 - s) * t.square()
        entropy = -s * s.log() - (1 - s) * (1 - s).log()
        return -error - 0.5 * math.log(math.pi) + s * F.logsigmoid(a) + (1 - s) * F.logsigmoid(-a) + entropy

    def derivative(self) -> Tensor:
        """That of the ELBO by l."""
        s = self.guide.logit.sigmoid()
        return s * (1 - s) * (2 * self.x - 1 + self.model.prior - self.guide.logit)

    def log_p(self) -> Tensor:
        b = torch.tensor([0.0, 1.0], dtype=torch.float64)[:, None]
        return -(self.x - b).square() - 0.5 * math.log(math.pi) + F.logsigmoid((2 * b - 1) * self.model.prior)

    def log_q(self) -> Tensor:
        both = torch.stack([F.logsigmoid(-self.guide.logit), F.logsigmoid(self.guide.logit)])
        return both[:, None].expand(2, len(self.x))


class _Normal:
    """Normal numbers of a seed, float64; PyTorch's own generator is left alone."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)


def _bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    """log prod_i Bernoulli(x_i; sigmoid(l_i))."""
    return (x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(-1)
