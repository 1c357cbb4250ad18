"""log p(x) by importance sampling from the guide, with the ELBO and its two halves from the same draws."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from tqdm import tqdm

from objective.densities import densities


class Evidence(NamedTuple):
    """One number per datum, shape (data,), in nats and float64.

    log_evidence = log 1/K sum_k w_k, whose expectation is at most log p(x) (Burda et al., 2016, Importance Weighted
    Autoencoders); variance is that of its Monte Carlo error by the delta method, (E[w^2] / E[w]^2 - 1) / K;
    elbo = -(rate + distortion), rate = E_q[log q(z|x) - log p(z)], distortion = -E_q[log p(x|z)].
    """

    log_evidence: Tensor
    variance: Tensor
    rate: Tensor
    distortion: Tensor

    @property
    def elbo(self) -> Tensor:
        return -(self.rate + self.distortion)


class _Allocations(TorchDispatchMode):
    """Adds up the bytes of all that the operations return."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.bytes += result.nbytes
        return result


def _bytes_per_pair(model: Callable, guide: Callable, x: Tensor) -> int:
    """What one more particle of one datum costs, an upper bound: nothing is taken to be freed on the way."""
    spent = []
    for particles in (1, 2):
        with _Allocations() as allocations:
            densities(model, guide, x[:1], particles)
        spent.append(allocations.bytes)
    return max(1, spent[1] - spent[0])


def _blocks(total: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


@torch.no_grad()
def evidence(
    model: Callable, guide: Callable, x: Tensor, *, samples: int, memory: int = 2**28, progress: bool = False
) -> Evidence:
    """Estimates log p(x) and the ELBO for every datum of x from `samples` draws of the guide.

    Runs in blocks of data and particles that stay under about `memory` bytes, on the device of x.
    """
    pairs = max(1, memory // _bytes_per_pair(model, guide, x))
    rows = min(len(x), max(1, pairs // samples))
    results = []
    with tqdm(total=len(x), unit=" data", desc="-log p(x)", disable=None if progress else True) as bar:
        for block in _blocks(len(x), rows):
            results.append(_block_evidence(model, guide, x[block], samples, max(1, pairs // rows)))
            bar.update(block.stop - block.start)
    return Evidence(*(torch.cat(parts) for parts in zip(*results, strict=True)))


def _block_evidence(model: Callable, guide: Callable, x: Tensor, samples: int, chunk: int) -> Evidence:
    """The same for one block, its particles in chunks whose sums are carried along in float64."""
    first = second = torch.full((len(x),), -math.inf, dtype=torch.float64, device=x.device)
    rate = distortion = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for particles in _blocks(samples, chunk):
        part = densities(model, guide, x, particles.stop - particles.start)
        log_weight = part.log_weight.double()
        first = torch.logaddexp(first, log_weight.logsumexp(0))
        second = torch.logaddexp(second, (2 * log_weight).logsumexp(0))
        rate = rate + (part.posterior - part.prior).double().sum(0)
        distortion = distortion - part.likelihood.double().sum(0)
    variance = ((second - 2 * first).exp() - 1 / samples).clamp(min=0)
    return Evidence(first - math.log(samples), variance, rate / samples, distortion / samples)
