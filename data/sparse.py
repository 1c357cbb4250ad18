"""Sparse rows (CSR), proved to be some before anything walks along them: what does so trusts every number."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from data.memory import available, words


class Rows(NamedTuple):
    """Row i holds counts[k] in column indices[k] for k from indptr[i] to indptr[i + 1]."""

    indptr: np.ndarray
    indices: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, parts: dict[str, np.ndarray], prefix: str) -> "Rows":
        """The rows that arrays with this prefix spell.

        Raises:
            ValueError: they spell none.
        """
        values = next(
            (f"{prefix}{name}" for name in ("counts", "data") if f"{prefix}{name}" in parts), f"{prefix}counts"
        )
        names = f"{prefix}indptr", f"{prefix}indices", values
        for name in names:
            if name not in parts:
                raise ValueError(f"there is no {name}")
            kinds = "buif" if name == values else "iu"
            if parts[name].ndim != 1 or parts[name].dtype.kind not in kinds:
                raise ValueError(f"{name} is a {parts[name].ndim}-dimensional array of {parts[name].dtype}")
        indptr, indices, counts = (parts[name] for name in names)
        if len(indices) != len(counts):
            raise ValueError(f"{len(indices)} in {names[1]} for {len(counts)} in {values}")
        if len(indptr) < 2 or indptr[0] != 0 or indptr[-1] != len(indices):
            raise ValueError(f"{names[0]} runs from 0 to the number of entries, {len(indices)}")
        if (indptr[1:] < indptr[:-1]).any():
            raise ValueError(f"{names[0]} falls: every row begins where the one before it ends")
        if len(indices) and (indices.min() < 0 or indices.max() >= np.iinfo(np.int32).max):
            raise ValueError(f"{names[1]} holds {indices.min()} to {indices.max()}: columns count from 0")
        return cls(indptr.astype(np.int64), indices.astype(np.int64), counts.astype(np.float32))

    @property
    def width(self) -> int:
        """One more than the last column that is used."""
        return int(self.indices.max()) + 1 if len(self.indices) else 1

    def dense(self, columns: int) -> np.ndarray:
        """The rows as an array of shape (rows, columns).

        Raises:
            ValueError: there is no memory for it.
        """
        shape = (len(self.indptr) - 1, columns)
        if (needed := 4 * shape[0] * shape[1]) > available():
            raise ValueError(f"{shape} numbers take {words(needed)}, and there are {words(available())} of memory")
        return csr_array((self.counts, self.indices, self.indptr), shape).toarray()


def declared_width(shape: np.ndarray | None) -> int:
    """The columns that a file says there are; 0 where it does not say.

    Raises:
        ValueError: what it says is no shape.
    """
    if shape is None:
        return 0
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or (shape < 1).any() or shape[1] > np.iinfo(np.int32).max:
        raise ValueError("shape is two positive whole numbers")
    return int(shape[1])
