"""A user's own arrays."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from data.dataset import Binarize, Data, DataError, Splits

_BROKEN = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


class Arrays(Data):
    """Your own data: a `.npy` of shape (count, *datum), or a `.npz` with `train` and, if there is one, `test`.

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
    ) -> None:
        """
        Args:
            path: the file.
            csr: the file holds sparse rows.
            holdout: the share of the data that becomes the test set where the file has none.
            scale: what the values are divided by, such as 255.
            binarize: no: values as they are (auto means no here). static: one Bernoulli draw. dynamic: one per batch.
        """
        super().__init__(binarize=binarize)
        if not 0 < holdout < 1:
            raise ValueError(f"holdout = {holdout}: a share of the data, between 0 and 1")
        if scale == 0:
            raise ValueError("scale = 0: values are divided by it")
        self.path = path
        self.csr = csr
        self.holdout = holdout
        self.scale = scale

    def splits(self) -> Splits:
        try:
            with open(self.path, "rb") as source:
                file = np.load(source, allow_pickle=False)
                parts = dict(file) if isinstance(file, np.lib.npyio.NpzFile) else {"train": file}
        except _BROKEN as error:
            raise DataError(f"cannot read arrays from {self.path}: {error}") from error
        parts = self._dense(parts) if self.csr else parts
        if "train" not in parts:
            raise DataError(f"{self.path} has no array `train`; it has {', '.join(sorted(parts)) or 'none'}")
        self._refuse_misshapen(parts)
        train, labels = parts["train"], parts.get("train_labels")
        if "test" in parts:
            return Splits(train / self.scale, parts["test"] / self.scale, labels, parts.get("test_labels"))
        from sklearn.model_selection import train_test_split  # nearly as long in importing as torch is

        kept, held = train_test_split(np.arange(len(train)), test_size=self.holdout, random_state=0)
        train_labels, test_labels = (None, None) if labels is None else (labels[kept], labels[held])
        return Splits(train[kept] / self.scale, train[held] / self.scale, train_labels, test_labels)

    def _dense(self, parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Sparse rows as arrays, all of the same width."""
        prefixes = {"train": "train_", "test": "test_"} if "train_indptr" in parts else {"train": ""}
        found = {name: prefix for name, prefix in prefixes.items() if f"{prefix}indptr" in parts}
        if not found:
            raise DataError(
                f"{self.path} holds no sparse rows (indptr, indices, counts), bare or as train_indptr, ...; it has"
                f" {', '.join(sorted(parts)) or 'none'}"
            )
        try:
            columns = int(parts["shape"][-1]) if "shape" in parts else 0
            columns = max(columns, *(int(parts[f"{prefix}indices"].max()) + 1 for prefix in found.values()), 1)
            dense = {name: self._rows(parts, prefix, columns) for name, prefix in found.items()}
        except (KeyError, *_BROKEN) as error:
            raise DataError(f"{self.path}: its sparse rows do not fit together: {error}") from error
        return dense | {name: parts[name] for name in ("train_labels", "test_labels") if name in parts}

    @staticmethod
    def _rows(parts: dict[str, np.ndarray], prefix: str, columns: int) -> np.ndarray:
        indptr = parts[f"{prefix}indptr"]
        counts = parts[f"{prefix}counts"] if f"{prefix}counts" in parts else parts[f"{prefix}data"]
        indices = parts[f"{prefix}indices"].astype(np.int64)
        return csr_array((counts.astype(np.float32), indices, indptr), (len(indptr) - 1, columns)).toarray()

    def _refuse_misshapen(self, parts: dict[str, np.ndarray]) -> None:
        for name in ("train", "test", "train_labels", "test_labels"):
            if name in parts and parts[name].dtype.kind not in "buif":
                raise DataError(f"{self.path}: `{name}` holds {parts[name].dtype}, not numbers")
        train = parts["train"]
        if train.ndim < 2 or len(train) < 2:
            raise DataError(f"{self.path}: data have shape (count, *datum), such as (1000, 28, 28), not {train.shape}")
        if "test" in parts and parts["test"].shape[1:] != train.shape[1:]:
            raise DataError(f"{self.path}: test data of {parts['test'].shape} beside train data of {train.shape}")
        for name in ("train", "test"):
            if f"{name}_labels" in parts and len(parts[f"{name}_labels"]) != len(parts.get(name, train)):
                raise DataError(f"{self.path}: {name} and {name}_labels differ in length")
