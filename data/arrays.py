"""A user's own arrays."""

from math import ceil, prod
from pathlib import Path
from typing import Literal

import numpy as np

from data.array_files import arrays, channels_first, channels_last, header, one_array
from data.dataset import Binarize, Data, DataError, Dataset, Other, Splits
from data.memory import available
from data.on_disk import RowsOnDisk
from data.sparse import Rows, declared_width

InMemory = Literal["auto", "yes", "no"]
_COPIES = 3  # of an array, until it is a tensor
_LABELS = ("train_labels", "test_labels")


class Arrays(Data):
    """Your own data: a `.npy` of shape (count, *datum), or a `.npz` with `train` and, if there is one, `test`.

    Images with the channels last, (count, height, width, 3), are turned to (count, 3, height, width), and it is said.
    `train_labels` and `test_labels` in a `.npz` colour the figures. With `csr`, a `.npz` holds sparse rows instead:
    `indptr`, `indices` and `counts` (or `data`), bare or with the prefixes `train_` and `test_`, and perhaps `shape`.
    """

    def __init__(
        self,
        path: Path,
        *,
        csr: bool = False,
        holdout: float = 0.1,
        scale: float = 1.0,
        binarize: Binarize = "auto",
        validation: float | None = None,
        in_memory: InMemory = "auto",
    ) -> None:
        """
        Args:
            path: the file.
            csr: the file holds sparse rows.
            holdout: the share of the data that becomes the test set where the file has none.
            scale: what the values are divided by, such as 255.
            binarize: no: values as they are (auto means no here). static: one Bernoulli draw. dynamic: one per batch.
            validation: the share of the training data, or their number, that training is judged on.
            in_memory: yes; no: the training data stay in the .npy file, a step's rows are read before it wants them;
                auto: no where the memory has no room for them.
        """
        super().__init__(binarize=binarize, validation=validation)
        if not 0 < holdout < 1:
            raise ValueError(f"holdout = {holdout}: a share of the data, between 0 and 1")
        if csr and in_memory == "no":
            raise ValueError("in_memory = no takes a .npy file of numbers in C order; sparse rows are read whole")
        if scale == 0 or not np.isfinite(scale):
            raise ValueError(f"scale = {scale}: values are divided by it")
        self.path = Path(path)
        self.csr = csr
        self.holdout = holdout
        self.scale = scale
        self.in_memory = in_memory

    def splits(self) -> Splits:
        parts = self._dense() if self.csr else self._plain()
        self._refuse_misshapen(parts)
        for name in ("train", "test"):
            if isinstance(parts.get(name), RowsOnDisk) and channels_last(parts[name].shape):
                raise DataError(
                    f"{self.path}: images with the channels last, {parts[name].shape}, are turned in memory alone: say"
                    " --data.in_memory yes, or save them with the channels first"
                )
            if isinstance(parts.get(name), np.ndarray):
                parts[name], self.note = channels_first(parts[name], self.path.name)
        train, labels = parts["train"], parts.get("train_labels")
        if "test" in parts:
            return Splits(train / self.scale, parts["test"] / self.scale, labels, parts.get("test_labels"))
        from sklearn.model_selection import train_test_split  # nearly as long in importing as torch is

        kept, held = train_test_split(np.arange(len(train)), test_size=self.holdout, random_state=0)
        if isinstance(train, RowsOnDisk):
            return Splits(train.only(kept), train.read(held))
        train_labels, test_labels = (None, None) if labels is None else (labels[kept], labels[held])
        return Splits(train[kept] / self.scale, train[held] / self.scale, train_labels, test_labels)

    def read(self, path: Path, array: str | None, like: Dataset) -> Other:
        """As of every source, divided by `scale`; sparse rows where the run's data are."""
        if not self.csr:
            x, note = channels_first(one_array(path, array), path.name)
            return Other(x / self.scale, note=note)
        parts, _ = arrays(path, ("indptr", "indices", "counts", "data", "shape"))
        try:
            rows = Rows.of(parts, "")
            columns = max(rows.width, declared_width(parts.get("shape")), *like.shape)
            return Other(rows.dense(columns) / self.scale)
        except ValueError as error:
            raise DataError(f"{path}: its sparse rows do not fit together: {error}") from error

    def _plain(self) -> dict[str, np.ndarray | RowsOnDisk]:
        if (rows := self._on_disk()) is not None:
            return {"train": rows}
        parts, there = arrays(self.path, ("train", "test", *_LABELS))
        if "train" not in parts:
            raise DataError(f"{self.path} has no array `train`; it has {', '.join(there) or 'none'}")
        return parts

    def _on_disk(self) -> RowsOnDisk | None:
        """The rows of the file where they are to stay in it."""
        if self.in_memory == "yes" or (found := header(self.path)) is None:
            if self.in_memory == "no":
                raise ValueError(
                    f"in_memory = no takes a .npy file of numbers in C order (numpy.save), and {self.path} is none"
                )
            return None
        shape, dtype, offset = found
        needed = _COPIES * prod(shape) * max(dtype.itemsize, 4)
        if self.in_memory == "auto" and needed <= available():
            return None
        return RowsOnDisk(Path(self.path), shape, dtype, offset, self.scale, np.arange(shape[0]))

    def _dense(self) -> dict[str, np.ndarray]:
        """Sparse rows as arrays, all of the same width."""
        names = ("indptr", "indices", "counts", "data")
        prefixes = ("", "train_", "test_")
        parts, there = arrays(self.path, (*(p + name for p in prefixes for name in names), "shape", *_LABELS))
        found = {"train": "train_", "test": "test_"} if "train_indptr" in parts else {"train": ""}
        found = {name: prefix for name, prefix in found.items() if f"{prefix}indptr" in parts}
        if not found:
            raise DataError(
                f"{self.path} holds no sparse rows (indptr, indices, counts), bare or as train_indptr, ...; it has"
                f" {', '.join(there) or 'none'}"
            )
        try:
            rows = {name: Rows.of(parts, prefix) for name, prefix in found.items()}
            columns = max(max(part.width for part in rows.values()), declared_width(parts.get("shape")))
            dense = {name: part.dense(columns) for name, part in rows.items()}
        except ValueError as error:
            raise DataError(f"{self.path}: its sparse rows do not fit together: {error}") from error
        return dense | {name: parts[name] for name in _LABELS if name in parts}

    def _refuse_misshapen(self, parts: dict[str, np.ndarray | RowsOnDisk]) -> None:
        for name in ("train", "test", *_LABELS):
            if name in parts and parts[name].dtype.kind not in "buif":
                raise DataError(f"{self.path}: `{name}` holds {parts[name].dtype}, not numbers")
        train, test = parts["train"], parts.get("test")
        if len(train.shape) < 2 or len(train) < 2 or not prod(train.shape[1:]):
            raise DataError(f"{self.path}: data have shape (count, *datum), such as (1000, 28, 28), not {train.shape}")
        if test is not None and test.shape[1:] != train.shape[1:]:
            raise DataError(f"{self.path}: test data of {test.shape} beside train data of {train.shape}")
        held = ceil(self.holdout * len(train)) if test is None else len(test)
        if held < 2:
            raise DataError(f"{self.path}: {held} test data of {len(train)} train; a run is judged on two at least")
        for name in ("train", "test"):
            labels = parts.get(f"{name}_labels")
            if labels is None:
                continue
            if labels.ndim != 1 or not np.isfinite(labels).all():
                raise DataError(f"{self.path}: {name}_labels are one finite number a datum, not {labels.shape}")
            if len(labels) != len(parts.get(name, train)):
                raise DataError(f"{self.path}: {name} and {name}_labels differ in length")
