"""The axes of what is drawn: particles, plates, events; and which of the plates make the data independent."""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, Protocol

from torch import Tensor


class Frame(Protocol):
    """A plate as Pyro has it on its stack."""

    name: str
    dim: Any
    size: int
    full_size: int | None


class Axes(ABC):
    """How values and log-densities are laid out: (particles, *plates, *event), `nesting` plates.

    `frames` are the plates, from the left, over which the data are independent given the parameters: the batch.
    """

    nesting: int

    @property
    @abstractmethod
    def frames(self) -> Sequence[Frame]:
        """The plates over which the data are independent."""

    @property
    def _kept(self) -> list[int]:
        return [frame.dim for frame in self.frames]

    def padded(self, value: Tensor, event: int) -> Tensor:
        """Values with an axis for the particles and for every plate, and `event` axes of event."""
        return value.reshape((1,) * (1 + self.nesting + event - value.dim()) + value.shape)

    def rows(self, value: Tensor, event: int) -> Tensor:
        """Values of shape (particles, *plates, *event), with `event` axes of event, as (particles, batch, numbers)."""
        full = self.padded(value, event)
        kept = [1 + self.nesting + dim for dim in self._kept]
        full = full.permute(0, *kept, *(i for i in range(1, full.dim()) if i not in kept))
        return full.reshape(len(full), math.prod(full.shape[1 : 1 + len(kept)]), -1)

    def spread(self, rows: Tensor, like: Tensor, event: int) -> Tensor:
        """The inverse for values that are the same for all data: (particles, numbers) in a latent's shape."""
        shape = self.padded(like, event).shape[1:]
        one = [1 if i - self.nesting in self._kept else size for i, size in enumerate(shape)]
        return rows.reshape(len(rows), *one).expand(len(rows), *shape)

    def per_datum(self, term: Tensor, width: int, dims: Collection[int]) -> Tensor:
        """A site's log-density summed inside a datum, and divided among the data that it is outside of: (width, batch).

        `dims` are the plates that the site is in.
        """
        full = self.padded(term, 0)
        summed = [dim for dim in range(-self.nesting, 0) if dim not in self._kept]
        kept = full.sum(summed) if summed else full
        sizes = [frame.size for frame in self.frames]
        outside = math.prod(frame.size for frame in self.frames if frame.dim not in dims)
        kept = kept.expand(width, *sizes).reshape(width, -1)
        return kept / outside if outside > 1 else kept
