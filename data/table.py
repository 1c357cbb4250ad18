"""Tables and word counts: a row per datum, columns with names."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.dataset import Binarize, Data, DataError, Dataset, Other, Splits
from data.fetch import cached

if TYPE_CHECKING:
    import pandas as pd


class Table(Data):
    """Your own table of numbers or counts: a row per datum, from a `.csv`, `.parquet` or `.h5ad` file.

    Columns keep their names. What is no number, or is missing, is refused by the column's name.
    """

    def __init__(
        self,
        path: Path,
        *,
        columns: list[str] | None = None,
        label: str | None = None,
        split: str | None = None,
        holdout: float = 0.1,
        standardize: bool = False,
        binarize: Binarize = "auto",
        validation: float | None = None,
    ) -> None:
        """
        Args:
            path: the file.
            columns: those to model; all but `label` and `split` if left out.
            label: a column that colours the figures.
            split: a column that says `train` or `test`; without it a share is held out.
            holdout: the share of the rows that becomes the test set where no column says it.
            standardize: subtract every column's mean over the training rows, divide by its standard deviation.
            binarize: no: values as they are (auto means no here). static: one Bernoulli draw. dynamic: one per batch.
            validation: the share of the training data, or their number, that training is judged on.
        """
        super().__init__(binarize=binarize, validation=validation)
        if not 0 < holdout < 1:
            raise ValueError(f"holdout = {holdout}: a share of the rows, between 0 and 1")
        self.path, self.columns, self.label, self.split = Path(path), columns, label, split
        self.holdout, self.standardize = holdout, standardize

    def splits(self) -> Splits:
        frame = self._frame(self.path)
        if len(frame) < 2:
            raise DataError(f"{self.path} holds {len(frame)} rows: two at least are needed")
        own = [name for name in (self.label, self.split) if name is not None]
        wanted = self.columns or [name for name in frame.columns if name not in own]
        if missing := [name for name in [*wanted, *own] if name not in frame.columns]:
            raise DataError(f"{self.path} has no column {missing[0]!r}; it has {_few(frame.columns)}")
        values = self._numbers(frame[wanted], self.path)
        kept, held = self._rows(frame)
        if self.standardize:
            mean, deviation = values[kept].mean(0), values[kept].std(0)
            if not deviation.all():
                raise DataError(f"{self.path}: column {wanted[int(np.argmin(deviation))]!r} never changes")
            values = (values - mean) / deviation
            self._standard = mean, deviation
        labels, names = self._labels(frame)
        chosen = (None, None) if labels is None else (labels[kept], labels[held])
        return Splits(values[kept], values[held], *chosen, label_names=names, columns=tuple(map(str, wanted)))

    def read(self, path: Path, array: str | None, like: Dataset) -> Other:
        """A table with the run's columns, standardised as they were; arrays of its columns from other files."""
        if path.suffix not in _READERS:
            return super().read(path, array, like)
        frame, names = self._frame(path), list(like.columns or ())
        frame.columns = frame.columns.map(str)
        if missing := [name for name in names if name not in frame.columns]:
            raise DataError(f"{path} has no column {missing[0]!r}; it has {_few(frame.columns)}")
        values = self._numbers(frame[names], path)
        return Other((values - self._standard[0]) / self._standard[1] if self.standardize else values)

    def _frame(self, path: Path) -> "pd.DataFrame":
        if path.suffix not in _READERS:
            raise DataError(f"{path}: a table is one of {', '.join(_READERS)}")
        try:
            frame = _READERS[path.suffix](path)
        except ImportError as error:
            raise DataError(f"{path}: {error}; pip install 'elbolab[tables]'") from error
        except Exception as error:  # every format's library has errors of its own
            raise DataError(f"{path} cannot be read: {str(error).strip().splitlines()[0]}") from error
        if not frame.columns.is_unique:
            raise DataError(f"{path} has two columns named {frame.columns[frame.columns.duplicated()][0]!r}")
        return frame

    def _numbers(self, frame: "pd.DataFrame", path: Path) -> np.ndarray:
        for name, dtype in frame.dtypes.items():
            if dtype.kind not in "buif":
                raise DataError(
                    f"{path}: column {name!r} holds {dtype}, not numbers: leave it out by --data.columns, or"
                    " make it the label"
                )
        absent = frame.isna().sum()
        if absent.any():
            name = absent.idxmax()
            raise DataError(f"{path}: {absent[name]} values of column {name!r} are missing")
        return frame.to_numpy(np.float32)

    def _rows(self, frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray]:
        if self.split is None:
            order = np.random.default_rng(0).permutation(len(frame))
            count = min(max(1, round(self.holdout * len(frame))), len(frame) - 1)
            return np.sort(order[count:]), np.sort(order[:count])
        said = frame[self.split].astype(str)
        if set(said) != {"train", "test"}:
            raise DataError(f"{self.path}: column {self.split!r} says {_few(sorted(set(said)))}, not train and test")
        return np.flatnonzero(said == "train"), np.flatnonzero(said == "test")

    def _labels(self, frame: "pd.DataFrame") -> tuple[np.ndarray | None, tuple[str, ...] | None]:
        if self.label is None:
            return None, None
        values = frame[self.label].astype(str)
        names = tuple(sorted(set(values)))
        return np.array([names.index(value) for value in values]), names


def _csv(path: Path) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_csv(path)


def _parquet(path: Path) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_parquet(path)


def _h5ad(path: Path) -> "pd.DataFrame":
    import anndata
    import pandas as pd

    cells = anndata.read_h5ad(path)
    counts = cells.X if isinstance(cells.X, np.ndarray) else cells.X.toarray()
    return pd.concat([pd.DataFrame(counts, cells.obs_names, cells.var_names), cells.obs], axis=1)


_READERS: dict[str, Callable[[Path], Any]] = {".csv": _csv, ".parquet": _parquet, ".h5ad": _h5ad}


def _few(names: Sequence[Any]) -> str:
    shown = [str(name) for name in list(names)[:10]]
    return ", ".join(shown) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


class Newsgroups(Data):
    """20 Newsgroups as bags of words (Lang, 1995, Newsweeder): 11314 texts to train, 7532 to test, by scikit-learn.

    Headers, footers and quotes are left out, so are English stop words and texts without a word that is counted. The
    words are the columns' names. scikit-learn downloads the texts and keeps them in the cache folder.
    """

    def __init__(self, *, words: int = 2000, binarize: Binarize = "auto", validation: float | None = None) -> None:
        """
        Args:
            words: how many are counted, the most frequent ones.
            binarize: no: values as they are (auto means no here). static: one Bernoulli draw. dynamic: one per batch.
            validation: the share of the training data, or their number, that training is judged on.
        """
        super().__init__(binarize=binarize, validation=validation)
        if words < 1:
            raise ValueError(f"words = {words}: one at least")
        self.words = words

    def splits(self) -> Splits:
        from sklearn.datasets import fetch_20newsgroups  # nearly as long in importing as torch is
        from sklearn.feature_extraction.text import CountVectorizer

        home = cached("scikit-learn")
        try:
            parts = [
                fetch_20newsgroups(data_home=str(home), subset=part, remove=("headers", "footers", "quotes"))
                for part in ("train", "test")
            ]
        except OSError as error:
            raise DataError(f"20 Newsgroups could not be downloaded into {home}: {error}") from error
        vectorizer = CountVectorizer(max_features=self.words, stop_words="english", token_pattern=r"[a-z]{3,}")
        train = vectorizer.fit_transform(parts[0].data).toarray().astype(np.float32)
        test = vectorizer.transform(parts[1].data).toarray().astype(np.float32)
        some = [counts.sum(1) > 0 for counts in (train, test)]
        labels = [part.target[rows] for part, rows in zip(parts, some, strict=True)]
        return Splits(
            train[some[0]],
            test[some[1]],
            *labels,
            label_names=tuple(parts[0].target_names),
            columns=tuple(vectorizer.get_feature_names_out()),
        )
