"""log p(x) by importance sampling from the guide, with the ELBO and its two halves from the same draws."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from elbolab.graph.capture import generators_kept
from elbolab.graph.inductor import compile_graph
from elbolab.graph.replicate import Allocations
from elbolab.graph.trace import CannotCapture, trace
from elbolab.pareto import khat as _khat
from elbolab.programs.densities import densities
from elbolab.programs.reading import Reading, read

_SUMS = 4  # rows of a block that are sums over its draws
_MANY = 10**6  # draws of a datum, from which on compiling repays itself


class Evidence(NamedTuple):
    """One number per datum, shape (data,), in nats and float64.

    log_evidence = log 1/K sum_k w_k, whose expectation is at most log p(x) (Burda et al., 2016, Importance Weighted
    Autoencoders); variance is that of its Monte Carlo error by the delta method, (E[w^2] / E[w]^2 - 1) / K;
    elbo = -(rate + distortion), rate = E_q[log q(z|x) - log p(z)], distortion = -E_q[log p(x|z)]. khat, where it was
    asked for, is the Pareto k of the weights' tail, `elbolab.pareto.khat`: where it is large, variance is too small.
    """

    log_evidence: Tensor
    variance: Tensor
    rate: Tensor
    distortion: Tensor
    draws: int = 1
    khat: Tensor | None = None

    @property
    def effective(self) -> Tensor:
        """The effective sample size (sum w)^2 / sum w^2 of every datum, from 1 to the number of draws (Kong, 1992)."""
        return 1 / (self.variance + 1 / self.draws)

    @property
    def elbo(self) -> Tensor:
        return -(self.rate + self.distortion)


def _bytes_per_pair(model: Callable, guide: Callable, x: Tensor, reading: Reading) -> int:
    """What one more particle of one datum costs, an upper bound: nothing is taken to be freed on the way."""
    spent = []
    for particles in (1, 2):
        with Allocations() as allocations:
            densities(model, guide, x[:1], particles, reading=reading)
        spent.append(allocations.bytes)
    return max(1, spent[1] - spent[0])


@torch.no_grad()
def evidence(
    model: Callable,
    guide: Callable,
    x: Tensor,
    *,
    samples: int,
    memory: int = 2**25,
    progress: bool = False,
    compile: bool | None = None,
    khat: bool = False,
) -> Evidence:
    """Estimates log p(x) and the ELBO for every datum of x from `samples` draws of the guide.

    Runs in blocks of data and particles that stay under about `memory` bytes, on the device of x. A block is compiled
    as one graph where there are many (`compile` left out) and the programs can be captured. With `khat` the weights'
    tail is looked at too.

    Raises:
        ValueError: `khat`, and the draws are too few or arviz-stats is not installed.
    """
    if khat:
        _khat(torch.randn(samples, 1))  # says what is wrong before the first draw
    reading = read(model, guide, (x[:1],))
    pairs = max(1, memory // _bytes_per_pair(model, guide, x, reading))
    particles = max(divisor for divisor in range(1, min(samples, pairs) + 1) if samples % divisor == 0)
    rows = min(len(x), max(1, pairs // particles))
    block: Callable[[Tensor], Tensor] = partial(_block, model, guide, particles=particles, reading=reading)
    if compile or (compile is None and len(x) * samples >= _MANY):
        block = _compiled(block, x[:rows])
    results: list[Tensor] = []
    tails: list[Tensor] = []
    with tqdm(
        total=len(x) * samples, unit=" draws", unit_scale=True, desc="-log p(x)", disable=not progress or None
    ) as bar:
        for start in range(0, len(x), rows):
            chosen = x[start : start + rows]
            # A graph is for one size of block: the last rows are filled up with others that are then dropped.
            filled = x[-rows:] if len(chosen) < rows else chosen
            parts: list[Tensor] = []
            weights: list[Tensor] = []
            for _ in range(samples // particles):
                part = block(filled)[:, -len(chosen) :]
                parts.append(_joined(parts.pop(), part[:_SUMS]) if parts else part[:_SUMS])
                if khat:
                    weights.append(part[_SUMS:])
                bar.update(len(chosen) * particles)
            results += parts
            if khat:
                tails.append(_khat(torch.cat(weights)).to(x.device))
    return _evidence(torch.cat(results, 1), samples, torch.cat(tails) if khat else None)


def _block(model: Callable, guide: Callable, x: Tensor, *, particles: int, reading: Reading) -> Tensor:
    """Of every datum: log sum_k w_k, log sum_k w_k^2, the sums of rate and distortion, then log w_k; float64.

    Shape (4 + particles, data).
    """
    part = densities(model, guide, x, particles, reading=reading)
    log_weight = part.log_weight.double()
    rate, distortion = (part.posterior - part.prior).double().sum(0), -part.likelihood.double().sum(0)
    sums = torch.stack([log_weight.logsumexp(0), (2 * log_weight).logsumexp(0), rate, distortion])
    return torch.cat([sums, log_weight])


def _joined(one: Tensor, other: Tensor) -> Tensor:
    """The sums over all the draws of two blocks."""
    return torch.cat([torch.logaddexp(one[:2], other[:2]), one[2:] + other[2:]])


def _evidence(sums: Tensor, samples: int, khat: Tensor | None) -> Evidence:
    first, second, rate, distortion = sums
    variance = ((second - 2 * first).exp() - 1 / samples).clamp(min=0)
    return Evidence(first - math.log(samples), variance, rate / samples, distortion / samples, samples, khat)


def _compiled(block: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[Tensor], Tensor]:
    """The same as one compiled graph; as it is, where that cannot be."""
    try:
        with generators_kept(x.device):
            run: Callable[..., Any] = compile_graph(trace(block, x), [x])
            return run
    except CannotCapture:
        return block
