"""What a data set is to the rest of the program."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from data.errors import DataError
from data.on_disk import OnDisk, RowsOnDisk, in_float32

__all__ = ["Binarize", "Data", "DataError", "Dataset", "Splits"]

Binarize = Literal["auto", "no", "static", "dynamic"]

# Static draws, and the test set's, are part of the data: the same in every run, whatever its seed.
_SEED_OF_DATA = 0


# A Gaussian log-density squares values and adds the squares of a datum up.
_LARGEST = 1e15


class Splits(NamedTuple):
    """What a source gives: data of shape (count, *datum) and, where there are any, integer labels, and names."""

    train: np.ndarray | RowsOnDisk
    test: np.ndarray
    train_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    label_names: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    validation: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one datum."""
        return tuple(self.train.shape[1:])


class Other(NamedTuple):
    """Data that a trained run is asked about: shape (count, *datum), their names, and what was done to them unasked."""

    x: np.ndarray
    names: tuple[str, ...] | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The splits as tensors on one device, the training data perhaps on the disk; `batch` is what a step trains on."""

    train: Tensor | OnDisk
    test: Tensor
    validation: Tensor | None = None
    test_labels: np.ndarray | None
    label_names: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    binarize: Binarize
    dequantize: bool
    levels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one datum."""
        return tuple(self.train.shape[1:])

    def parts(self) -> list[Tensor | OnDisk]:
        """The splits: train, test and, where there is one, validation."""
        return [self.train, self.test, *([] if self.validation is None else [self.validation])]

    @property
    def judged(self) -> tuple[str, Tensor]:
        """What training is judged on, by name: validation or, without such a split, test."""
        return ("test", self.test) if self.validation is None else ("validation", self.validation)

    def batch(self, index: Tensor) -> Tensor:
        """The training data at `index`, drawn anew from their grey levels where binarised or dequantised."""
        x = self.train[index]
        if self.binarize == "dynamic":
            return _binarized(x)
        return _dequantized(x, torch.rand_like(x), self.levels) if self.dequantize else x

    @property
    def index_device(self) -> torch.device:
        """Where the places of a batch's data are wanted."""
        return torch.device("cpu") if isinstance(self.train, OnDisk) else self.train.device

    def expect(self, indices: Iterable[Tensor]) -> None:
        """Tells which batches are next: data on the disk are read meanwhile."""
        if isinstance(self.train, OnDisk):
            self.train.expect(indices)

    def source(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """What a batch at `index` is drawn from, and its places there: all of the data, or what was read of them."""
        if isinstance(self.train, Tensor):
            return self.train, index
        rows = self.train[index]
        return rows, torch.arange(len(rows), device=rows.device)

    def held_out(self, x: Tensor) -> Tensor:
        """Other data as the test set is: binarised or dequantised once, by draws that are the same every time."""
        generator = torch.Generator().manual_seed(_SEED_OF_DATA)
        if self.binarize != "no" and ((x > 0) & (x < 1)).any():
            return torch.bernoulli(x.cpu(), generator=generator).to(x)
        if self.dequantize:
            return _dequantized(x, torch.rand(x.shape, generator=generator).to(x), self.levels)
        return x

    def described(self) -> str:
        """How the data are seen, for a line on screen."""
        drawn = {"dynamic": "binarised anew for every batch", "static": "binarised once"}
        plain = f"{self.levels} grey levels dequantised" if self.dequantize else "values as they are"
        return (
            f"{len(self.train)} train, "
            + ("" if self.validation is None else f"{len(self.validation)} validation, ")
            + f"{len(self.test)} test, {self.shape}, {drawn.get(self.binarize, plain)}, on {self.train.device}"
            + (", the training data read from the disk" if isinstance(self.train, OnDisk) else "")
        )


def _binarized(x: Tensor) -> Tensor:
    """Bits that are 1 with probability x, to the nearest 1/65536.

    One number of 64 bits serves four of them: it is drawing numbers that takes the time, here a fifteenth of what
    `torch.bernoulli` takes.
    """
    whole = torch.randint(-(2**63), 2**63 - 1, (-(-x.numel() // 4),), device=x.device)
    u = whole.view(torch.int16)[: x.numel()].view_as(x)
    return (u < (x * 2**16 - 2**15).round()).to(x)


def _dequantized(x: Tensor, noise: Tensor, levels: int) -> Tensor:
    """Spreads the grey levels 0, 1/(levels-1), ..., 1 evenly over (0, 1): ((levels - 1) x + u) / levels."""
    low = torch.finfo(x.dtype).eps
    return (((levels - 1) * x + noise) / levels).clamp(low, 1 - low)


class Data(ABC):
    """The contract: a source's constructor arguments are its configuration, `splits()` reads it.

    `binarize` turns grey levels g in [0, 1] into draws from Bernoulli(g): `static` once, `dynamic` anew for every batch
    (Burda et al., 2016); the test set is drawn once in both. `auto` is `dynamic` for an image set under a likelihood
    that takes bits alone, and `no` otherwise. `levels` is how many grey levels an image set has. `validation` sets
    part of the training data aside, by the run's seed (validation.py).
    """

    levels = 0
    note: str | None = None  # what was done to the data unasked

    def __init__(
        self, *, binarize: Binarize = "auto", dequantize: bool = False, validation: float | None = None
    ) -> None:
        """
        Args:
            binarize: no: as they are. static: one draw. dynamic: one for every batch. auto: as the likelihood asks.
            dequantize: spread grey levels over (0, 1) by uniform noise, anew for every batch, for densities.
            validation: the share of the training data, or their number, that training is judged on.
        """
        if validation is not None and not (0 < validation < 1 or (validation >= 2 and validation == int(validation))):
            raise ValueError(
                f"validation = {validation:g}: a share of the training data between 0 and 1, or how many, from 2 on"
            )
        self.binarize = binarize
        self.dequantize = dequantize
        self.validation = validation

    @abstractmethod
    def splits(self) -> Splits:
        """Reads the source."""

    def read(self, path: Path, array: str | None, like: Dataset) -> Other:
        """Data from another file, as this source gives its own: of a `.npy`, or the `array` of a `.npz`.

        Where a `.npz` has one array alone it needs no name; `like` are this source's data.

        Raises:
            DataError: the file is missing, broken or of another kind, or has several arrays and none was named.
        """
        from data.array_files import channels_first, one_array  # which raise this module's errors

        x, note = channels_first(one_array(path, array), path.name)
        return Other(x, note=note)

    def load(
        self,
        splits: Splits,
        device: torch.device | str = "cpu",
        *,
        bits: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> Dataset:
        """Binarises or dequantises what `splits` read, and places it; `bits` says that the likelihood takes no more.

        Raises:
            DataError: values are not finite.
            ValueError: values that are to be binarised are not in [0, 1], or have no levels to dequantise.
        """
        name = type(self).__name__
        parts = {
            name: OnDisk(part, device, dtype) if isinstance(part, RowsOnDisk) else torch.from_numpy(in_float32(part))
            for name in ("train", "test", "validation")
            if (part := getattr(splits, name)) is not None
        }
        for part, values in parts.items():
            low, high = (value.item() for value in values.aminmax())
            if not np.isfinite([low, high]).all():
                raise DataError(f"{name}: the {part} data hold values that are not finite")
            if (size := max(-low, high)) > _LARGEST:
                raise DataError(f"{name}: the {part} data hold {size:.3g}, too large to be squared: scale them")
        binarize = self.binarize
        if binarize == "auto":
            binarize = "dynamic" if bits and self.levels and not self.dequantize else "no"
        generator = torch.Generator().manual_seed(_SEED_OF_DATA)
        if binarize != "no":
            self._refuse_to_binarize(list(parts.values()))
            if binarize == "static" and isinstance(parts["train"], OnDisk):
                raise ValueError("binarize = static draws all data once, and they are on the disk: take dynamic")
            drawn = ("test", "train", "validation") if binarize == "static" else ("test", "validation")
            for part in drawn:
                if part in parts:
                    parts[part] = torch.bernoulli(parts[part], generator=generator)
        if self.dequantize:
            if not self.levels or binarize != "no":
                raise ValueError(f"{name} has no grey levels to dequantise, or they are binarised already")
            for part in ("test", "validation") if "validation" in parts else ("test",):
                noise = torch.rand(parts[part].shape, generator=generator)
                parts[part] = _dequantized(parts[part], noise, self.levels)
        return Dataset(
            **{part: x if isinstance(x, OnDisk) else x.to(device, dtype) for part, x in parts.items()},
            test_labels=splits.test_labels,
            label_names=splits.label_names,
            columns=splits.columns,
            binarize=binarize,
            dequantize=self.dequantize,
            levels=self.levels,
        )

    def _refuse_to_binarize(self, parts: Sequence[Tensor | OnDisk]) -> None:
        low, high = min(x.min().item() for x in parts), max(x.max().item() for x in parts)
        if low < 0 or high > 1:
            raise ValueError(
                f"binarize = {self.binarize} needs data in [0, 1], but {type(self).__name__} holds values from"
                f" {low:g} to {high:g}: rescale them, or set binarize to no (--data.binarize no)"
            )
