"""Training data that are larger than the memory: rows of a `.npy` file, read before a step wants them.

They are read by their place, not mapped into the process: what was read and is done with takes no memory of its, and a
file that is cut short meanwhile is an error and not the end of the process.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.errors import DataError

AHEAD = 4  # batches that are read before they are wanted
_BLOCK = 2**24  # bytes that are looked at at a time


class RowsOnDisk:
    """Some rows of a `.npy` file in some order, divided by a number; all stay on the disk until they are read.

    What is read is to the last bit what the whole array in memory would have held.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: np.dtype, offset: int, scale: float, chosen: np.ndarray
    ) -> None:
        """
        Args:
            path: the file, in C order.
            shape, dtype, offset: of the array, and the byte at which it begins.
            scale: what its values are divided by.
            chosen: the numbers of the rows.
        """
        self._args = (path, shape, dtype, offset, scale)
        self._path, self._scale, self.chosen = path, scale, chosen
        with path.open("rb") as file:
            self._descriptor = os.dup(file.fileno())
        self._state = self._now()
        self._dtype, self._offset, self._each = dtype, offset, dtype.itemsize * int(np.prod(shape[1:]))
        self.shape = (len(chosen), *shape[1:])
        self.dtype = (np.empty(0, dtype) / scale).dtype

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def __len__(self) -> int:
        return len(self.chosen)

    def only(self, index: np.ndarray) -> "RowsOnDisk":
        """Some of these rows, on the disk too."""
        return RowsOnDisk(*self._args, chosen=self.chosen[index])

    def read(self, index: np.ndarray) -> np.ndarray:
        """Some of these rows, in memory.

        Raises:
            DataError: the file was changed since it was opened.
        """
        if self._now() != self._state:
            raise DataError(f"{self._path} was changed while it is read")
        found = np.empty((len(index), *self.shape[1:]), self._dtype)
        content, each = memoryview(found.reshape(-1).view(np.uint8)), self._each
        for place, row in enumerate(self.chosen[index].tolist()):
            into = content[place * each : (place + 1) * each]
            if os.preadv(self._descriptor, [into], self._offset + row * each) != each:
                raise DataError(f"{self._path} was changed while it is read")
        unchanged = self._scale == 1 and found.dtype == self.dtype  # two passes over a batch are a tenth of its reading
        return found if unchanged else found / self._scale

    def blocks(self) -> Iterator[np.ndarray]:
        """All of them in their order, some at a time."""
        size = max(1, _BLOCK // self._each)
        for start in range(0, len(self), size):
            yield self.read(np.arange(start, min(start + size, len(self))))

    def _now(self) -> tuple[int, int]:
        state = os.fstat(self._descriptor)
        return state.st_size, state.st_mtime_ns


class OnDisk:
    """What a tensor of training data is to a step, on the disk: `data[index]` are those rows on the step's device.

    `expect` has rows read by a second thread, into memory that a device can take them from; whether they were expected
    changes nothing of what they are.
    """

    def __init__(self, rows: RowsOnDisk, device: torch.device | str, dtype: torch.dtype) -> None:
        self._rows, self.device, self.dtype = rows, torch.device(device), dtype
        self.shape = torch.Size(rows.shape)
        self._range: tuple[float, float] | None = None
        self._pending: deque[tuple[Tensor, Future[Tensor]]] = deque()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="rows")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Tensor) -> Tensor:
        index = index.cpu()
        for place, (known, future) in enumerate(self._pending):
            if torch.equal(known, index):
                for _ in range(place + 1):
                    self._pending.popleft()
                return self._placed(future.result())
        return self._placed(self._read(index))

    def expect(self, indices: Iterable[Tensor]) -> None:
        """Has the rows of the next batches read meanwhile, in this order."""
        for index in indices:
            if not any(torch.equal(known, index) for known, _ in self._pending):
                self._pending.append((index, self._reader.submit(self._read, index)))

    def blocks(self) -> Iterator[Tensor]:
        """All of them in their order, some at a time."""
        for block in self._rows.blocks():
            yield self._placed(torch.from_numpy(in_float32(block, copy=False)))

    def min(self) -> Tensor:
        """The smallest of all values."""
        return self.aminmax()[0]

    def max(self) -> Tensor:
        """The largest of all values."""
        return self.aminmax()[1]

    def aminmax(self) -> tuple[Tensor, Tensor]:
        """Both, looked for once."""
        if self._range is None:
            pairs = torch.stack([torch.stack(block.aminmax()) for block in self.blocks()])
            self._range = pairs[:, 0].min().item(), pairs[:, 1].max().item()
        low, high = (torch.tensor(value, dtype=self.dtype, device=self.device) for value in self._range)
        return low, high

    def _read(self, index: Tensor) -> Tensor:
        found = torch.from_numpy(in_float32(self._rows.read(index.numpy()), copy=False))
        return found.pin_memory() if self.device.type == "cuda" else found

    def _placed(self, found: Tensor) -> Tensor:
        return found.to(self.device, self.dtype, non_blocking=True)


def blocks(values: Tensor | OnDisk) -> Iterator[Tensor]:
    """All of a split, some at a time where it is on the disk."""
    return values.blocks() if isinstance(values, OnDisk) else iter((values,))


def in_float32(values: np.ndarray, copy: bool = True) -> np.ndarray:
    """In float32; what has no room there is not finite, and is refused for it."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=copy)
