"""The ELBO of bits and one-hot codes without drawing: a sum over all their values."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from elbolab.estimators.base import Estimate, Estimator
from elbolab.estimators.codes import Bits, kind
from elbolab.estimators.conditions import CODES, Condition
from elbolab.programs.draw import Draw


class Enumeration(Estimator):
    """The ELBO as a sum over all values of the codes: nothing is drawn.

    sum_z q(z|x) [log p(x, z) - log q(z|x)] over all z: exact, its gradient too, and without variance.

    Latents may depend on one another. The cost is a decoder evaluation for each of the 2^n values of n bits, n values
    of a code with n categories, and the product over several. Pyro's `TraceEnum_ELBO` enumerates by sites.
    """

    repeats = "guide"
    conditions: tuple[Condition, ...] = (CODES,)

    def __init__(self, num_particles: int = 1, *, limit: int = 2**12, **options: Any) -> None:
        """
        Args:
            num_particles: of no effect, for nothing is drawn.
            limit: the most values that are summed over.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        self.limit = limit

    @property
    def particles(self) -> int:
        return 1

    def estimate(self, draw: Draw) -> Estimate:
        values = all_values(draw, list(draw.posteriors), self.limit)
        count = len(next(iter(values.values())))
        q = draw.log_density(values, count).exp()
        elbo = (q * draw.log_weight(values, count)).sum(0)
        return Estimate(elbo, elbo)


def all_values(draw: Draw, names: Sequence[str], limit: int) -> Mapping[str, Tensor]:
    """Every value that some of a datum's latents have together, as particles.

    Raises:
        ValueError: they are more than `limit`.
    """
    counts = {name: _digits(draw, name) for name in names}
    total = math.prod(radix**digits for digits, radix in counts.values())
    if total > limit:
        raise ValueError(f"Enumeration sums over all values of a datum's latents: {total} of them, and limit = {limit}")
    device = next(iter(draw.values.values())).device
    rest, found = torch.arange(total, device=device), {}
    for name, (digits, radix) in counts.items():
        # Not `radix ** arange`: compiled, a power of whole numbers other than 2 stops with an error.
        powers = torch.tensor([radix**place for place in range(digits)], device=device)
        found[name] = _written(draw, name, rest[:, None] // powers % radix, radix)
        rest = rest // radix**digits
    return found


def _digits(draw: Draw, name: str) -> tuple[int, int]:
    """How many bits or codes a latent has per datum, and how many values each."""
    q, value = draw.posteriors[name], draw.values[name]
    numbers = draw.rows(value, q.event_dim).shape[-1]
    return (numbers, 2) if kind(q) is Bits else (numbers // value.shape[-1], value.shape[-1])


def _written(draw: Draw, name: str, digits: Tensor, radix: int) -> Tensor:
    """The numbers' digits as values of a latent."""
    q, value = draw.posteriors[name], draw.values[name]
    if kind(q) is not Bits:
        digits = (digits[..., None] == torch.arange(radix, device=digits.device)).flatten(1)
    return draw.spread(digits.to(value.dtype), value, q.event_dim)
