"""What a data set is to the rest of the program."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

Binarize = Literal["no", "static", "dynamic"]

# Static draws, and the test set's, are part of the data: the same in every run, whatever its seed.
_BINARIZATION_SEED = 0


class DataError(Exception):
    """Data are missing or corrupt; the message says what to do."""


class Splits(NamedTuple):
    """What a source gives: data of shape (count, *datum) and, where there are any, integer labels of shape (count,)."""

    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Both splits as tensors on one device; `batch` is what a step trains on."""

    train: Tensor
    test: Tensor
    test_labels: np.ndarray | None
    binarize: Binarize

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one datum."""
        return tuple(self.train.shape[1:])

    def batch(self, index: Tensor) -> Tensor:
        """The training data at `index`, drawn anew from their grey levels where binarisation is dynamic."""
        x = self.train[index]
        return torch.bernoulli(x) if self.binarize == "dynamic" else x


class Data(ABC):
    """The contract: a source's constructor arguments are its configuration, `splits()` reads it.

    `binarize` turns grey levels g in [0, 1] into draws from Bernoulli(g): `static` once, `dynamic` anew for every batch
    (Burda et al., 2016); the test set is drawn once in both.
    """

    def __init__(self, *, binarize: Binarize = "dynamic") -> None:
        """
        Args:
            binarize: no: grey levels as they are. static: one draw. dynamic: a new draw for every batch.
        """
        self.binarize = binarize

    @abstractmethod
    def splits(self) -> Splits:
        """Reads the source."""

    def load(self, device: torch.device | str = "cpu") -> Dataset:
        """Reads, binarises and places the data.

        Raises:
            DataError: a file is missing or corrupt, or values are not finite.
            ValueError: values that are to be binarised are not in [0, 1].
        """
        splits = self.splits()
        train, test = (torch.from_numpy(part.astype(np.float32)) for part in (splits.train, splits.test))
        for name, part in (("train", train), ("test", test)):
            if not part.isfinite().all():
                raise DataError(f"{type(self).__name__}: the {name} data hold values that are not finite")
        if self.binarize != "no":
            low, high = min(train.min(), test.min()).item(), max(train.max(), test.max()).item()
            if low < 0 or high > 1:
                raise ValueError(
                    f"binarize = {self.binarize} needs data in [0, 1], but {type(self).__name__} holds values from"
                    f" {low:g} to {high:g}: rescale them, or set binarize to no (--data.binarize no)"
                )
            generator = torch.Generator().manual_seed(_BINARIZATION_SEED)
            test = torch.bernoulli(test, generator=generator)
            if self.binarize == "static":
                train = torch.bernoulli(train, generator=generator)
        return Dataset(
            train=train.to(device),
            test=test.to(device),
            test_labels=splits.test_labels,
            binarize=self.binarize,
        )
