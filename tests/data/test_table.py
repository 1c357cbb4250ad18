"""Tables and word counts: what is read, and what is refused by name."""

import codecs
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

import train
from data import DataError, Newsgroups, Table, table

RNG = np.random.default_rng(0)


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "height": RNG.normal(170, 10, 20),
            "count": RNG.poisson(3, 20),
            "kind": ["cat", "dog"] * 10,
            "part": ["train"] * 15 + ["test"] * 5,
        }
    )


def write(frame, path):
    {".csv": lambda: frame.to_csv(path, index=False), ".parquet": lambda: frame.to_parquet(path)}[path.suffix]()
    return path


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_columns_labels_and_splits_are_those_of_the_file(ending, frame, tmp_path):
    splits = Table(write(frame, tmp_path / f"t{ending}"), label="kind", split="part").splits()
    assert splits.columns == ("height", "count")
    assert splits.label_names == ("cat", "dog")
    assert splits.test_labels.tolist() == [1, 0, 1, 0, 1]
    np.testing.assert_allclose(splits.train, frame[["height", "count"]].to_numpy()[:15], rtol=1e-6)
    np.testing.assert_allclose(splits.test, frame[["height", "count"]].to_numpy()[15:], rtol=1e-6)


def test_h5ad_has_genes_for_columns(tmp_path):
    anndata = pytest.importorskip("anndata")
    counts = RNG.poisson(2, (6, 3)).astype(np.float32)
    obs = pd.DataFrame({"cell": list("aabbab")}, index=[f"c{i}" for i in range(6)])
    genes = pd.DataFrame(index=["CD3", "CD4", "CD8"])
    anndata.AnnData(counts, obs, genes).write_h5ad(tmp_path / "t.h5ad")
    splits = Table(tmp_path / "t.h5ad", label="cell").splits()
    assert splits.columns == ("CD3", "CD4", "CD8")
    assert splits.label_names == ("a", "b")


def test_a_share_is_held_out_the_same_in_every_run(frame, tmp_path):
    path = write(frame[["height", "count"]], tmp_path / "t.csv")
    one, other = (Table(path, holdout=0.25).splits() for _ in range(2))
    assert len(one.test) == 5
    assert np.array_equal(one.test, other.test)
    rows = {tuple(row) for row in np.concatenate([one.train, one.test]).tolist()}
    assert len(rows) == 20


def test_standardised_by_the_training_rows_alone(frame, tmp_path):
    path = write(frame, tmp_path / "t.csv")
    splits = Table(path, columns=["height"], split="part", standardize=True).splits()
    assert splits.train.mean() == pytest.approx(0, abs=1e-5)
    assert splits.train.std() == pytest.approx(1, rel=1e-5)
    expected = (frame["height"][15:] - frame["height"][:15].mean()) / frame["height"][:15].std(ddof=0)
    np.testing.assert_allclose(splits.test[:, 0], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda f: f, {}, "column 'kind' holds"),
        (lambda f: f, {"columns": ["weight", "age"]}, "no column 'weight'; it has height"),
        (lambda f: f.assign(height=f["height"].where(f["height"] > 170)), {"columns": ["height"]}, "are missing"),
        (lambda f: f, {"columns": ["count"], "split": "kind"}, "says cat, dog, not train and test"),
        (lambda f: f.assign(count=1), {"columns": ["count"], "standardize": True}, "never changes"),
        (lambda f: f[:1], {"columns": ["count"]}, "1 rows"),
    ],
)
def test_what_is_refused(change, options, said, frame, tmp_path):
    path = write(change(frame), tmp_path / "t.csv")
    with pytest.raises(DataError, match=said):
        Table(path, **options).splits()


@pytest.mark.parametrize(("name", "content"), [("t.txt", b""), ("t.csv", b""), ("t.parquet", b"no"), ("t.h5ad", b"no")])
def test_files_that_are_none_are_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        Table(tmp_path / name).splits()


def test_a_library_that_is_missing_is_named(tmp_path, monkeypatch):
    def absent(path):
        raise ImportError("no module pyarrow")

    monkeypatch.setitem(table._READERS, ".parquet", absent)
    with pytest.raises(DataError, match=r"no module pyarrow; pip install 'elbolab\[tables\]'"):
        Table(tmp_path / "t.parquet").splits()


@pytest.fixture
def newsgroups(tmp_path, monkeypatch):
    """scikit-learn's own cache file, with a few texts of the same form."""
    monkeypatch.setenv("ELBOLAB_DATA", str(tmp_path))
    texts = ["From: a\n\nthe rocket flew to orbit, orbit and moon", "From: b\n\nhockey goal goal", "From: c\n\nand the"]
    names = ["rec.sport.hockey", "sci.space"]
    both = {
        part: Bunch(
            data=[t for t in texts for _ in range(2)],
            target=np.array([1, 1, 0, 0, 0, 0]),
            target_names=names,
            filenames=np.array([f"{part}/{i}" for i in range(6)]),
            DESCR="",
        )
        for part in ("train", "test")
    }
    folder = tmp_path / "scikit-learn" / "20news-bydate_py3.pkz"
    folder.parent.mkdir()
    folder.write_bytes(codecs.encode(pickle.dumps(both), "zlib_codec"))


def test_newsgroups_counts_words_that_are_none_of_the_frame(newsgroups):
    splits = Newsgroups(words=4).splits()
    assert set(splits.columns) <= {"rocket", "flew", "orbit", "moon", "hockey", "goal"}
    assert {"orbit", "goal"} <= set(splits.columns)
    assert splits.train.shape == (4, 4), "a text of stop words alone is left out"
    assert splits.train[0, splits.columns.index("orbit")] == 2
    assert splits.label_names == ("rec.sport.hockey", "sci.space")
    assert splits.train_labels.tolist() == [1, 1, 0, 0]


def test_newsgroups_without_a_network_say_where_they_belong(tmp_path, monkeypatch):
    import sklearn.datasets

    def refuses(**_):
        raise OSError("no route")

    monkeypatch.setenv("ELBOLAB_DATA", str(tmp_path))
    monkeypatch.setattr(sklearn.datasets, "fetch_20newsgroups", refuses)
    with pytest.raises(DataError, match="no route"):
        Newsgroups().splits()


def test_it_trains_on_counts(newsgroups, tmp_path):
    options = ["--data", "Newsgroups", "--data.words", "4", "--likelihood", "Multinomial", "--latent", "2"]
    assert train.main([*options, "--hidden", "8", "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
