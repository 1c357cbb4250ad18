import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

import data.images as images
from data import MNIST, Arrays, BinarizedMNIST, DataError, Digits, FashionMNIST, dataset
from data.fetch import Remote, fetch


def loaded(source, **options):
    return source.load(source.splits(), **options)


def test_digits_are_where_they_should_be():
    grey = loaded(Digits(binarize="no"))
    assert grey.train.shape == (1437, 8, 8)
    assert grey.test.shape == (360, 8, 8)
    assert grey.train.min() == 0
    assert grey.train.max() == 1
    assert grey.shape == (8, 8)
    assert np.bincount(grey.test_labels).min() > 30


def test_dynamic_draws_anew_and_with_the_right_mean():
    grey, dynamic = loaded(Digits(binarize="no")), loaded(Digits(binarize="dynamic"))
    index = torch.arange(200)
    draws = torch.stack([dynamic.batch(index) for _ in range(400)])
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(draws[0], draws[1])
    level = grey.train[index]
    z = (draws.mean(0) - level) / (level * (1 - level) / 400).sqrt().clamp(min=1e-9)
    assert z.abs().max() < 5
    assert set(dynamic.test.unique().tolist()) == {0.0, 1.0}


def test_every_grey_level_is_a_bit_as_often_as_it_says(monkeypatch):
    levels = torch.arange(256) / 255
    x = levels[:, None].expand(256, 2**16)
    every = torch.from_numpy(np.arange(2**16, dtype=np.uint16).view(np.int64)).repeat(256)
    monkeypatch.setattr(torch, "randint", lambda low, high, size, device: every)
    often = dataset._binarized(x).double().mean(1)
    assert (often - levels).abs().max() < 2**-17 + 1e-7
    assert often[0] == 0
    assert often[-1] == 1
    torch.testing.assert_close(often, levels.double(), rtol=2e-5, atol=0)


def test_a_batch_of_any_size_is_binarised():
    assert dataset._binarized(torch.ones(7, 3, 3)).sum() == 63


def test_static_is_the_same_in_every_run():
    one = loaded(Digits(binarize="static"))
    torch.manual_seed(5)
    two = loaded(Digits(binarize="static"))
    assert torch.equal(one.train, two.train)
    assert torch.equal(one.test, two.test)
    assert torch.equal(one.batch(torch.arange(9)), one.batch(torch.arange(9)))
    assert set(one.train.unique().tolist()) == {0.0, 1.0}


def test_auto_binarises_images_for_a_likelihood_of_bits_alone(tmp_path):
    assert loaded(Digits(), bits=True).binarize == "dynamic"
    assert loaded(Digits(), bits=False).binarize == "no"
    np.save(tmp_path / "x.npy", np.full((20, 4), 0.5))
    assert loaded(Arrays(tmp_path / "x.npy"), bits=True).binarize == "no", "a user's data are not touched unasked"


def test_dequantised_grey_levels_fill_the_unit_interval_evenly():
    source = Digits(dequantize=True)
    grey, spread = loaded(Digits(binarize="no")), loaded(source)
    index = torch.arange(500)
    x = spread.batch(index)
    assert torch.equal((x * 17).floor(), (grey.train[index] * 16).round())
    assert not torch.equal(x, spread.batch(index)), "anew for every batch"
    rest = (x * 17) % 1
    assert abs(rest.mean() - 0.5) < 4 * (1 / 12 / rest.numel()) ** 0.5
    assert torch.equal(spread.test, loaded(source).test)
    assert spread.test.min() > 0
    assert spread.test.max() < 1


def csr(rows, prefix=""):
    sparse = scipy.sparse.csr_array(rows)
    return {f"{prefix}indptr": sparse.indptr, f"{prefix}indices": sparse.indices, f"{prefix}counts": sparse.data}


def test_sparse_rows_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(0)
    train, test = rng.poisson(0.3, (30, 12)), rng.poisson(0.3, (7, 12))
    train[:, -1] = 0
    test[0, -1] = 3
    np.savez(
        tmp_path / "two.npz", **csr(train, "train_"), **csr(test.astype(float), "test_"), vocab=np.array(["word"] * 12)
    )
    found = loaded(Arrays(tmp_path / "two.npz", csr=True))
    assert np.array_equal(found.train, train)
    assert np.array_equal(found.test, test), "as wide as the widest split"
    np.savez(tmp_path / "one.npz", **csr(train), shape=np.array([30, 12]))
    assert loaded(Arrays(tmp_path / "one.npz", csr=True, holdout=0.2)).train.shape == (24, 12)
    scipy.sparse.save_npz(tmp_path / "scipy.npz", scipy.sparse.csr_matrix(train))
    assert loaded(Arrays(tmp_path / "scipy.npz", csr=True, holdout=0.2)).test.shape == (6, 12)


def test_broken_sparse_rows_say_so(tmp_path):
    np.savez(tmp_path / "x.npz", train=np.zeros((5, 2)))
    with pytest.raises(DataError, match="no sparse rows"):
        loaded(Arrays(tmp_path / "x.npz", csr=True))
    np.savez(tmp_path / "x.npz", indptr=np.array([0, 2]), indices=np.array([1]), counts=np.array([1]))
    with pytest.raises(DataError, match="do not fit"):
        loaded(Arrays(tmp_path / "x.npz", csr=True))


TWO_ROWS = {"indptr": [0, 1, 3], "indices": [4, 0, 2], "counts": [1, 2, 3]}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"indptr": [0, 1000000, 3]}, "falls"),
        ({"indptr": [0, 2, 1, 3]}, "falls"),
        ({"indptr": [1, 1, 3]}, "runs from 0"),
        ({"indptr": [0, 1, 9]}, "runs from 0"),
        ({"indptr": [-1, 1, 3]}, "runs from 0"),
        ({"indptr": [0.0, 1.0, 3.0]}, "array of float64"),
        ({"indptr": [[0, 1, 3]]}, "2-dimensional"),
        ({"indptr": [3]}, "runs from 0"),
        ({"indices": [4, -1, 2]}, "columns count from 0"),
        ({"indices": [4, 2**62, 2]}, "columns count from 0"),
        ({"indices": [4.0, 0.0, 2.0]}, "array of float64"),
        ({"indices": [4, 0]}, "2 in indices for 3"),
        ({"counts": [1, 2, 3, 4]}, "3 in indices for 4"),
        ({"counts": ["a", "b", "c"]}, "array of <U1"),
        ({"indices": [4, 2**31 - 3, 2], "indptr": [0, 1, *[3] * 10**6]}, "of memory"),
        ({"shape": [2, -5]}, "positive whole numbers"),
        ({"shape": [5.5, 5.5]}, "positive whole numbers"),
        ({"shape": 5}, "positive whole numbers"),
    ],
)
def test_sparse_rows_are_proved_before_they_are_walked_along(tmp_path, wrong, message):
    np.savez(tmp_path / "x.npz", **{name: np.array(values) for name, values in (TWO_ROWS | wrong).items()})
    with pytest.raises(DataError, match=message):
        Arrays(tmp_path / "x.npz", csr=True).splits()


def test_every_row_of_sparse_rows_is_where_it_was(tmp_path):
    rows = np.random.default_rng(0).poisson(0.5, (50, 9))
    np.savez(tmp_path / "x.npz", **csr(rows, "train_"), **csr(rows[::-1], "test_"))
    found = Arrays(tmp_path / "x.npz", csr=True).splits()
    assert np.array_equal(found.train, rows)
    assert np.array_equal(found.test, rows[::-1])


@pytest.mark.data
def test_the_newsgroups_and_the_cells_load():
    folder = Path(os.environ["ELBOLAB_DATA"]) / "counts"
    words = loaded(Arrays(folder / "20ng_bow.npz", csr=True))
    assert words.train.shape == (11214, 3072)
    assert words.test.shape == (7531, 3072)
    cells = loaded(Arrays(folder / "pbmc_10k_protein_v3.npz", csr=True))
    assert cells.train.shape == (180, 16727)
    assert words.train.sum() > len(words.train)


def test_arrays_from_npy_are_split(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(200, dtype=np.uint8).reshape(50, 4))
    found = loaded(Arrays(tmp_path / "x.npy", holdout=0.2, scale=255))
    assert found.train.shape == (40, 4)
    assert found.test.shape == (10, 4)
    rows = torch.cat([found.train, found.test]).mul(255).round()
    assert sorted(rows[:, 0].tolist()) == list(range(0, 200, 4))


def test_arrays_from_npz_keep_their_split_and_labels(tmp_path):
    np.savez(tmp_path / "x.npz", train=np.zeros((5, 2)), test=np.ones((3, 2)), test_labels=np.arange(3))
    found = loaded(Arrays(tmp_path / "x.npz"))
    assert found.test.tolist() == [[1, 1]] * 3
    assert found.test_labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.zeros((5, 2))}, "no array `train`; it has other"),
        ({"train": np.zeros(5)}, "count"),
        ({"train": np.array([["a"] * 2] * 5)}, "not numbers"),
        ({"train": np.full((20, 2), np.nan)}, "not finite"),
        ({"train": np.zeros((5, 2)), "test": np.zeros((5, 3))}, "beside"),
        ({"train": np.array([[{}] * 2] * 5)}, "never unpickled"),
        ({"train": np.zeros((20, 2)), "train_labels": np.zeros(4)}, "differ in length"),
        ({"train": np.zeros((20, 2)), "train_labels": np.zeros((20, 1))}, "one finite number a datum"),
        ({"train": np.zeros((20, 2)), "train_labels": np.full(20, np.nan)}, "one finite number a datum"),
        ({"train": np.zeros((5, 2))}, "1 test data of 5"),
        ({"train": np.zeros((5, 2)), "test": np.zeros((0, 2))}, "0 test data of 5"),
        ({"train": np.zeros((5, 0))}, "count"),
        ({"train": np.full((20, 2), 1e30)}, "too large to be squared"),
    ],
)
def test_arrays_that_cannot_be_used_say_why(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=message):
        loaded(Arrays(tmp_path / "x.npz"))


def test_a_missing_or_broken_file_says_so(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        loaded(Arrays(tmp_path / "nothing.npy"))
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(DataError, match="cannot read"):
        loaded(Arrays(tmp_path / "x.npz"))


def test_binarising_counts_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(40.0).reshape(20, 2))
    with pytest.raises(ValueError, match=r"from 0 to 39.*binarize no"):
        loaded(Arrays(tmp_path / "x.npy", binarize="dynamic"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ELBOLAB_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_fetch_tries_mirrors_in_turn_and_keeps_only_the_right_file(cache, tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(b"content")
    bad.write_bytes(b"other")
    digest = hashlib.sha256(b"content").hexdigest()
    remote = Remote("set/file", digest, ((tmp_path / "none").as_uri(), bad.as_uri(), good.as_uri()))
    assert fetch(remote).read_bytes() == b"content"
    assert {p.name for p in (cache / "set").iterdir()} == {"file", ".file.lock"}, "no partial file stays behind"
    good.unlink()
    assert fetch(remote).read_bytes() == b"content", "the second time it comes from the cache"
    (cache / "set/file").write_bytes(b"damaged")
    with pytest.raises(DataError, match="wrong checksum"):
        fetch(remote)


def test_without_network_one_message_names_everything(cache, tmp_path):
    addresses = ((tmp_path / "a").as_uri(), (tmp_path / "b").as_uri())
    with pytest.raises(DataError) as caught:
        fetch(Remote("set/file", "0" * 64, addresses))
    for part in (*addresses, "file", str(cache / "set"), "ELBOLAB_DATA", "0" * 64):
        assert part in str(caught.value)


def test_binarized_mnist_is_packed_from_the_published_text(cache, tmp_path, monkeypatch):
    bits = {part: np.random.default_rng(0).integers(0, 2, (6, 784)) for part in BinarizedMNIST.published}
    published, packed = {}, {}
    for part, rows in bits.items():
        text = "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()
        (tmp_path / f"binarized_mnist_{part}.amat").write_bytes(text)
        published[part] = hashlib.sha256(text).hexdigest()
        packed[part] = hashlib.sha256(np.packbits(rows.astype(np.uint8), axis=1).tobytes()).hexdigest()
    monkeypatch.setattr(BinarizedMNIST, "published", published)
    monkeypatch.setattr(BinarizedMNIST, "packed", {part: packed[part] for part in ("train", "test")})
    monkeypatch.setattr(BinarizedMNIST, "mirror", tmp_path.as_uri() + "/")
    found = loaded(BinarizedMNIST())
    assert np.array_equal(found.train.numpy().reshape(6, 784), bits["train"])
    assert np.array_equal(found.test.numpy().reshape(6, 784), bits["test"])
    folder = cache / "binarized_mnist"
    assert [p.name for p in folder.iterdir() if not p.name.endswith(".lock")] == ["binarized_mnist.npz"]
    np.savez(folder / "binarized_mnist.npz", **{part: np.zeros((6, 98), np.uint8) for part in bits})
    with pytest.raises(DataError, match="corrupt"):
        loaded(BinarizedMNIST())


@pytest.mark.data
@pytest.mark.parametrize("source", [MNIST, FashionMNIST])
def test_idx_files_hold_what_is_published(source):
    found = loaded(source(binarize="no"))
    assert found.train.shape == (60000, 28, 28)
    assert found.test.shape == (10000, 28, 28)
    assert np.bincount(found.test_labels).sum() == 10000
    assert found.train.max() == 1


@pytest.mark.data
def test_packed_binarized_mnist_is_the_published_text():
    bits = BinarizedMNIST().splits()
    for part, images_ in (("train", bits.train), ("test", bits.test)):
        text = np.full((len(images_), 784, 2), ord(" "), np.uint8)
        text[:, :, 0] = images_.reshape(-1, 784) + ord("0")
        text[:, -1, 1] = ord("\n")
        assert hashlib.sha256(text.tobytes()).hexdigest() == BinarizedMNIST.published[part]


def test_image_sets_name_mirrors_and_checksums_for_every_file():
    for source in (images.MNIST, images.FashionMNIST):
        assert len(source.checksums) == 4
        assert len(set(source.checksums.values())) == 4
        assert len(source.mirrors) == 2
