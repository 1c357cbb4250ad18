"""A user's own arrays."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from data.dataset import Binarize, Data, DataError, Splits


class Arrays(Data):
    """A `.npy` file of shape (count, *datum), or a `.npz` file with `train` and, if there is one, `test`.

    `train_labels` and `test_labels` in a `.npz` file colour the figures.
    """

    def __init__(self, path: Path, *, holdout: float = 0.1, scale: float = 1.0, binarize: Binarize = "no") -> None:
        """
        Args:
            path: the file.
            holdout: the share of the data that becomes the test set where the file has none.
            scale: what the values are divided by, such as 255.
            binarize: no: values as they are. static: one Bernoulli draw. dynamic: a new draw for every batch.
        """
        super().__init__(binarize=binarize)
        if not 0 < holdout < 1:
            raise ValueError(f"holdout = {holdout}: a share of the data, between 0 and 1")
        self.path = path
        self.holdout = holdout
        self.scale = scale

    def splits(self) -> Splits:
        try:
            with open(self.path, "rb") as source:
                file = np.load(source, allow_pickle=False)
                parts = dict(file) if isinstance(file, np.lib.npyio.NpzFile) else {"train": file}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"cannot read arrays from {self.path}: {error}") from error
        if "train" not in parts:
            raise DataError(f"{self.path} has no array `train`; it has {', '.join(sorted(parts)) or 'none'}")
        train, labels = parts["train"], parts.get("train_labels")
        for name, part in parts.items():
            if part.dtype.kind not in "buif":
                raise DataError(f"{self.path}: `{name}` holds {part.dtype}, not numbers")
        if train.ndim < 2 or len(train) < 2:
            raise DataError(f"{self.path}: data have shape (count, *datum), such as (1000, 28, 28), not {train.shape}")
        if "test" in parts:
            if parts["test"].shape[1:] != train.shape[1:]:
                raise DataError(f"{self.path}: test data of {parts['test'].shape} beside train data of {train.shape}")
            return Splits(train / self.scale, parts["test"] / self.scale, labels, parts.get("test_labels"))
        index = np.arange(len(train))
        kept, held = train_test_split(index, test_size=self.holdout, random_state=0)
        return Splits(
            train[kept] / self.scale,
            train[held] / self.scale,
            None if labels is None else labels[kept],
            None if labels is None else labels[held],
        )
