"""Annealed importance sampling: log p(x) from below, and for simulated data from above as well.

Chains walk from the guide to the posterior through pi_b ~ q(z|x)^(1 - b) p(x, z)^b, b = 0, ..., 1, by Hamiltonian
steps, and collect log w = sum_t (b_t - b_(t-1)) [log p(x, z) - log q(z|x)]. E[w] = p(x) whatever the steps are: the log
of the mean of w is at most log p(x) in expectation (Neal, 2001, Annealed Importance Sampling, arXiv physics/9803008;
Wu et al., 2017, On the Quantitative Analysis of Decoder-Based Generative Models, arXiv 1611.04273). Backwards from an
exact draw of the posterior, which data that the model simulates come with, E[1/w] = 1/p(x): an upper bound (Grosse,
Ghahramani and Adams, 2015, Sandwiching the Marginal Likelihood, arXiv 1511.02543).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from pyro.distributions import constraints
from torch import Tensor

from elbolab.judging.simulating import scoring_any, simulated
from elbolab.programs.draw import Draw
from elbolab.validation import unvalidated

_PILOT = 64  # draws of the guide, whose spread is the length that steps are measured in
_GOAL = 0.65  # accepted proposals (Neal, 2011, MCMC using Hamiltonian Dynamics, arXiv 1206.1901)
_FIRST, _FASTER, _SLOWER = 0.3, 1.1, 0.85
_Values = dict[str, Tensor]


class Sandwich(NamedTuple):
    """Bounds in expectation on log p(x) of simulated data, each of shape (data,), in nats."""

    lower: Tensor
    upper: Tensor

    @property
    def gap(self) -> float:
        """How far apart the bounds are, the mean over the data: neither is further than this from the mean log p(x)."""
        return (self.upper - self.lower).mean().item()

    @property
    def error(self) -> float:
        """The standard error of the gap."""
        return (self.upper - self.lower).std().item() / len(self.lower) ** 0.5


def annealed(
    model: Callable, guide: Callable, x: Tensor, *, chains: int = 16, temperatures: int = 100, leaps: int = 10
) -> Tensor:
    """A lower bound in expectation on log p(x) for every datum, shape (data,), in nats.

    Args:
        model, guide: the programs; their latents lie in real vector spaces.
        x: the data.
        chains: for each of them.
        temperatures: values of b from 0 to 1; the bound tightens as they grow.
        leaps: gradients that a Hamiltonian step takes. The cost is 2 chains x temperatures x leaps of them per datum.

    Raises:
        ValueError: a latent does not lie in a real vector space or is one for all data, or the guide knows no density
            but of what it draws.
    """
    return _Annealing(model, guide, x, chains, temperatures, leaps).forward()


def sandwiched(
    model: Callable,
    guide: Callable,
    x: Tensor,
    *,
    simulations: int = 100,
    chains: int = 16,
    temperatures: int = 100,
    leaps: int = 10,
) -> Sandwich:
    """Both bounds on log p(x) for data that the model simulates: their gap says how good `annealed` is on such data.

    Args:
        model, guide, chains, temperatures, leaps: as for `annealed`.
        x: data of the shape that the programs take.
        simulations: how many data are drawn.

    Raises:
        ValueError: as for `annealed`, or the model observes other things than x.
    """
    with torch.no_grad():
        data, latents = simulated(model, x, simulations)
    annealing = _Annealing(model, guide, data, chains, temperatures, leaps)
    return Sandwich(annealing.forward(), annealing.backward(latents))


class _Annealing:
    """Chains for all data at once; the lengths of their steps are found by a first run, and fixed from then on."""

    def __init__(self, model: Callable, guide: Callable, x: Tensor, chains: int, temperatures: int, leaps: int) -> None:
        for name, value in (("chains", chains), ("temperatures", temperatures), ("leaps", leaps)):
            if value < 1:
                raise ValueError(f"{name} = {value}: at least 1")
        self.chains, self.leaps = chains, leaps
        self.betas = torch.linspace(0, 1, temperatures + 1, dtype=torch.float64).tolist()
        with torch.no_grad(), unvalidated():
            pilot = Draw(model, guide, (x,), particles=_PILOT, scaled=False)
            self._check(pilot, len(x))
            self.scale = {name: value.std(0).clamp(min=1e-6) for name, value in pilot.values.items()}
            self.draw = Draw(model, guide, (x,), particles=chains, reading=pilot.reading, scaled=False)
        with scoring_any("annealing"):
            self._ahead(self._started())
        # By the temperature's number, one length per datum.
        self.steps = {1: torch.full((len(x),), _FIRST, dtype=torch.float64, device=x.device)}
        self._walk(self._started(), range(1, temperatures), adapt=True)

    @staticmethod
    def _check(draw: Draw, count: int) -> None:
        for name, q in draw.posteriors.items():
            support: Any = q.support
            while hasattr(support, "base_constraint"):
                support = support.base_constraint
            if support is not constraints.real:
                raise ValueError(
                    f"annealing follows gradients: latent {name} lies in {q.support}, no real vector space"
                )
            if draw.rows(draw.values[name], len(q.event_shape)).shape[1] != count:
                raise ValueError(f"annealing is for latents of one datum each, and {name} is one for all data")

    def forward(self) -> Tensor:
        log_weight = self._walk(self._started(), range(1, len(self.betas) - 1), adapt=False)
        return log_weight.logsumexp(0) - math.log(self.chains)

    def backward(self, latents: _Values) -> Tensor:
        shapes = {name: value.shape for name, value in self._started().items()}
        start = {name: latents[name].expand(shape).clone() for name, shape in shapes.items()}
        log_weight = self._walk(start, range(len(self.betas) - 2, 0, -1), adapt=False)
        return math.log(self.chains) - (-log_weight).logsumexp(0)

    def _started(self) -> _Values:
        """Draws of the guide, new ones every time."""
        with torch.no_grad(), unvalidated():
            fresh = Draw(
                self.draw.model,
                self.draw.guide,
                self.draw.arguments,
                particles=self.chains,
                reading=self.draw.reading,
                scaled=False,
            )
        return fresh.values if self.chains > 1 else {name: value[None] for name, value in fresh.values.items()}

    def _walk(self, values: _Values, order: range, *, adapt: bool) -> Tensor:
        """log w of chains that start at `values` and stop at these temperatures, shape (chains, data)."""
        log_weight, backwards = torch.zeros((), dtype=torch.float64), order.step < 0
        ahead = self._ahead(values)
        for t in order:
            # Forwards the weight for moving to b_t is taken before the step at b_t, backwards likewise from above.
            low, high = (t, t + 1) if backwards else (t - 1, t)
            log_weight = log_weight + (self.betas[high] - self.betas[low]) * ahead
            values, accepted = self._stepped(values, self.betas[t], self.steps[t])
            if adapt:
                self.steps[t + 1] = self.steps[t] * torch.where(accepted.mean(0) > _GOAL, _FASTER, _SLOWER)
            ahead = self._ahead(values)
        last = (0, 1) if backwards else (len(self.betas) - 2, len(self.betas) - 1)
        return log_weight + (self.betas[last[1]] - self.betas[last[0]]) * ahead

    @torch.no_grad()
    def _ahead(self, values: _Values) -> Tensor:
        """log p(x, z) - log q(z|x)."""
        with unvalidated():
            return self.draw.log_weight(values, self.chains).double()

    def _stepped(self, values: _Values, beta: float, step: Tensor) -> tuple[_Values, Tensor]:
        """A Hamiltonian step at b with unit masses, z in units of its spread; and which of the chains took it."""
        per = {name: self._of(name, step.expand(self.chains, -1)) * self.scale[name] for name in values}
        momenta = {name: torch.randn_like(value) for name, value in values.items()}
        energy, slope = self._energy(values, beta)
        before, after, moving = energy + self._kinetic(momenta), values, dict(momenta)
        for _ in range(self.leaps):
            moving = {name: p - 0.5 * per[name] * slope[name] for name, p in moving.items()}
            after = {name: value + per[name] * moving[name] for name, value in after.items()}
            energy, slope = self._energy(after, beta)
            moving = {name: p - 0.5 * per[name] * slope[name] for name, p in moving.items()}
        change = (before - energy - self._kinetic(moving)).nan_to_num(nan=-math.inf)
        accepted = torch.rand_like(change).log() < change
        kept = {n: torch.where(self._of(n, accepted), after[n], value) for n, value in values.items()}
        return kept, accepted.double()

    def _energy(self, values: _Values, beta: float) -> tuple[Tensor, _Values]:
        """-log pi_b(z) of every chain and datum, and its gradient."""
        with torch.enable_grad(), unvalidated():
            held = {name: value.detach().requires_grad_() for name, value in values.items()}
            log_p, log_q = self.draw.log_p(held, self.chains), self.draw.log_q(held, self.chains)
            energy = -(beta * log_p + (1 - beta) * log_q)
            gradients = torch.autograd.grad(energy.sum(), list(held.values()))
        return energy.detach().double(), dict(zip(held, gradients, strict=True))

    def _kinetic(self, momenta: _Values) -> Tensor:
        events = {name: len(q.event_shape) for name, q in self.draw.posteriors.items()}
        return sum(
            (0.5 * self.draw.rows(p, events[name]).double().square().sum(-1) for name, p in momenta.items()),
            torch.zeros((), dtype=torch.float64),
        )

    def _of(self, name: str, number: Tensor) -> Tensor:
        """A number per chain and datum in the shape of a latent."""
        weighed = self.draw.weigh(name, number)
        return weighed if number.dtype == torch.bool else weighed.to(self.scale[name])
