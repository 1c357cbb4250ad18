"""Score-function gradients: (f - b) d log q(z|x), f the learning signal, b a baseline that does not depend on z.

They ask nothing of q but its density, and serve discrete and continuous latents alike; the baseline decides how noisy
they are. One decoder evaluation per particle.
"""

import math
from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor

from elbolab.estimators.base import Estimate, Estimator
from elbolab.estimators.conditions import WHOLE_DATA, Condition
from elbolab.estimators.kinds import MultiSample
from elbolab.estimators.learnt import one_layer
from elbolab.programs.draw import Draw
from elbolab.programs.influence import Influence
from elbolab.programs.sites import is_subsample, role


class _Score(Estimator):
    """(log w - b) d log q(z|x) + d_theta log p(x, z)."""

    repeats = "none"

    def sampler(self) -> Messenger:
        return DetachedDraws()

    def baseline(self, signal: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """b, of a shape that fits (particles, batch), and what the baseline itself maximises, shape (batch,)."""
        return torch.zeros_like(signal[:1]), torch.zeros_like(signal[0])

    def estimate(self, draw: Draw) -> Estimate:
        log_p = draw.log_p()
        signal = (log_p - draw.log_q()).detach()
        baseline, own = self.baseline(signal, draw)
        surrogate = log_p + self.rescale(signal - baseline.detach()) * draw.log_density()
        return Estimate(signal.mean(0), surrogate.mean(0) + own)

    def rescale(self, signal: Tensor) -> Tensor:
        """The centred signal as it multiplies the score."""
        return signal


class DetachedDraws(Messenger):
    """Draws latents as constants: what is left of a gradient at them is the score, also where q could carry more."""

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and not is_subsample(msg) and role(msg) == "latent":
            msg["value"] = msg["value"].detach()


class _Local(_Score):
    """Every latent's score weighed by what it can influence, element by element of its plates."""

    def centred(self, signal: Tensor) -> Tensor:
        """f - b, for signals of shape (particles, *plates)."""
        return signal

    def estimate(self, draw: Draw) -> Estimate:
        log_p, influence = draw.log_p(), Influence(draw)
        whole = (log_p - draw.log_q()).detach()
        surrogate, all_of_it = log_p, []
        for site in draw.reading.latents:
            if influence.everything(site.name):
                all_of_it.append(site.name)
            else:
                surrogate = surrogate + influence.scores(site.name, self.centred(influence.signal(site.name)))
        if all_of_it:
            surrogate = surrogate + self.centred(whole) * draw.log_density(names=all_of_it)
        return Estimate(whole.mean(0), surrogate.mean(0))


class REINFORCE(_Local):
    """The score function without a baseline, f the terms that a latent can influence (Rao-Blackwellised); unbiased.

    *Williams, 1992, Simple Statistical Gradient-Following Algorithms*; *Ranganath et al., 2014, Black Box Variational
    Inference*, arXiv 1401.0118. In a plate a latent's element is weighed by that element's terms.
    """


class MovingAverage(_Score):
    """A baseline that is a moving average of the learning signal, one number for all data.

    Unbiased (*Mnih and Gregor, 2014, Neural Variational Inference and Learning in Belief Networks*, arXiv 1402.0030).
    """

    average: Tensor
    weight: Tensor

    def __init__(self, num_particles: int = 1, *, decay: float = 0.9, **options: Any) -> None:
        """
        Args:
            num_particles: draws of z per datum.
            decay: how much of the average is kept at a step.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        if not 0 <= decay < 1:
            raise ValueError(f"decay = {decay}: from 0 up to, but not, 1")
        self.decay = decay
        self.register_buffer("average", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(()))

    def follow(self, average: Tensor, value: Tensor) -> Tensor:
        """The moving average over earlier steps only, as unbiasedness asks; its weight corrects the start from 0."""
        before = (average / self.weight.clamp(min=1e-12)).clone()
        if self.training and torch.is_grad_enabled():
            average.copy_(self.decay * average + (1 - self.decay) * value)
        return before

    def count(self) -> None:
        """One step more in every average."""
        if self.training and torch.is_grad_enabled():
            self.weight.copy_(self.decay * self.weight + (1 - self.decay))

    def baseline(self, signal: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        centre = self.follow(self.average, signal.mean())
        self.count()
        return centre, torch.zeros_like(signal[0])


class NVIL(MovingAverage):
    """A learnt baseline b(x) + c: a network that sees the data, and a moving average c of what it leaves over.

    b maximises -(f - b(x) - c)^2, in the surrogate, so that the optimiser of model and guide trains it too; give its
    parameters to an optimiser after the first step, which tells the network its input's size. Unbiased; with
    `normalize` only up to a factor, and that factor moves with training (*Mnih and Gregor, 2014, Neural Variational
    Inference and Learning in Belief Networks*, arXiv 1402.0030).
    """

    variance: Tensor

    def __init__(
        self,
        num_particles: int = 1,
        *,
        hidden: int = 100,
        decay: float = 0.9,
        normalize: bool = False,
        **options: Any,
    ) -> None:
        """
        Args:
            num_particles: draws of z per datum.
            hidden: units of the baseline's one hidden layer.
            decay: how much of the moving averages is kept at a step.
            normalize: divides the signal by max(1, its standard deviation): steps of one size, a rescaled gradient.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, decay=decay, **options)
        self.network = one_layer(hidden)
        self.normalize = normalize
        self.register_buffer("variance", torch.zeros(()))
        self._deviation = torch.ones(())

    def prepare(self, draw: Draw) -> None:
        x = draw.data()
        self.to(x.device)
        self.network(x.to(self.average.dtype))

    def baseline(self, signal: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        x = draw.data().detach().to(self.average.dtype)
        if x.shape[-1] != self.network[0].in_features:
            raise ValueError(
                f"{type(self).__name__}'s baseline was built for {self.network[0].in_features} numbers per datum, not"
                f" {x.shape[-1]}: data that no plate shared by all sites makes independent have to keep their size"
            )
        learnt = self.network(x)[:, 0]
        rest = signal - learnt.detach()
        centre = self.follow(self.average, rest.mean())
        # The second moment about the average of earlier steps: of the signal as it goes into the gradient.
        self._deviation = self.follow(self.variance, (rest - centre).square().mean()).sqrt().clamp(min=1)
        self.count()
        return learnt + centre, -(signal - learnt - centre).square().mean(0)

    def rescale(self, signal: Tensor) -> Tensor:
        return signal / self._deviation if self.normalize else signal


class RLOO(_Local):
    """Every particle's baseline is the mean signal of the others: REINFORCE, leave one out.

    1/K sum_k (f_k - 1/(K-1) sum_{j != k} f_j) d log q(z_k|x), f as in REINFORCE; unbiased (*Salimans and Knowles, 2014,
    On Using Control Variates with Stochastic Approximation for Variational Bayes*; *Kool et al., 2019,
    Buy 4 REINFORCE Samples, Get a Baseline for Free*). With the whole of log w as f it is the gradient of the
    log-variance loss (*Richter et al., 2020, VarGrad*, arXiv 2010.10436).
    """

    least_particles = 2

    def __init__(self, num_particles: int = 5, **options: Any) -> None:
        """
        Args:
            num_particles: draws of z per datum, two at least.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)

    def centred(self, signal: Tensor) -> Tensor:
        return without_mean(signal)


def without_mean(signal: Tensor, dim: int = 0) -> Tensor:
    """Less the mean of the others along an axis of K: f_k - sum of f_j, j != k, / (K - 1)."""
    count = signal.shape[dim]
    return (signal - signal.mean(dim, keepdim=True)) * (count / (count - 1))


class VIMCO(MultiSample):
    """The score function of the multi-sample bound L = log 1/K sum_k w_k, a baseline for every particle.

    sum_k (L - L_-k) d log q(z_k|x) + sum_k w~_k d log w_k, where L_-k has the geometric mean of the other weights in
    the place of w_k; unbiased for L (*Mnih and Rezende, 2016, Variational Inference for Monte Carlo Objectives*, arXiv
    1602.06725).
    """

    repeats = "none"
    conditions: tuple[Condition, ...] = (WHOLE_DATA,)
    least_particles = 2

    def sampler(self) -> Messenger:
        return DetachedDraws()

    def estimate(self, draw: Draw) -> Estimate:
        log_weight = draw.log_weight()
        bound = log_mean(log_weight)
        signal = (bound - log_mean(others_in_place(log_weight), 1)).detach()
        return Estimate(bound, bound + (signal * draw.log_density()).sum(0))


def log_mean(log_weight: Tensor, dim: int = 0) -> Tensor:
    """log 1/K sum_k w_k over an axis of K."""
    return log_weight.logsumexp(dim) - math.log(log_weight.shape[dim])


def others_in_place(log_weight: Tensor) -> Tensor:
    """Row k: all log-weights, the k-th replaced by the mean of the others; shape (particles, particles, batch)."""
    count = len(log_weight)
    mean = (log_weight.sum(0) - log_weight) / (count - 1)
    own = torch.eye(count, dtype=torch.bool, device=log_weight.device)[..., None]
    return torch.where(own, mean[:, None], log_weight)
