"""Random numbers that Python and a page can both be given: one after the other, normal or uniform."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Noise:
    """Draws numbers, and keeps them in `values` in the order in which they were asked for."""

    def __init__(self, seed: int) -> None:
        self.values: list[float] = []
        self._generator = np.random.default_rng(seed)

    def drawn(self, name: str, arguments: Sequence[Any]) -> Tensor:
        """What the ATen operation `name` draws from the next numbers: the same as in the page."""
        first = arguments[0]
        if name in ("randn", "rand"):
            return self._taken(name == "randn", first)
        if name in ("randn_like", "rand_like"):
            return self._taken(name == "randn_like", first.shape)
        if name == "normal":
            mean, deviation = torch.broadcast_tensors(*(torch.as_tensor(part) for part in arguments[:2]))
            return mean + deviation * self._taken(True, mean.shape)
        if name == "normal_functional":
            mean, deviation = _two(arguments)
            return mean + deviation * self._taken(True, first.shape)
        if name == "uniform":
            low, high = _two(arguments)
            return low + (high - low) * self._taken(False, first.shape)
        if name == "bernoulli":
            return (self._taken(False, first.shape) < first).to(first)
        if name == "multinomial":
            rows = first.reshape(-1, first.shape[-1])
            u = self._taken(False, (len(rows), arguments[1])) * rows.sum(-1, keepdim=True)
            found = (rows.cumsum(-1)[:, None, :-1] <= u[..., None]).sum(-1)
            return found.reshape(*first.shape[:-1], arguments[1])
        raise ValueError(f"aten::{name} draws what no page can be given")

    def _taken(self, normal: bool, shape: Sequence[int]) -> Tensor:
        size = tuple(shape)
        found = self._generator.standard_normal(size) if normal else self._generator.random(size)
        self.values += np.ravel(found).tolist()
        return torch.as_tensor(found, dtype=torch.float64).reshape(size)


def _two(arguments: Sequence[Any]) -> tuple[Any, Any]:
    """The second and third argument, 0 and 1 where they are left out."""
    given = arguments[1:3]
    return (given[0] if given else 0.0), (given[1] if len(given) > 1 else 1.0)
