import hashlib

import numpy as np
import pytest
import torch

import data.images as images
from data import MNIST, Arrays, BinarizedMNIST, DataError, Digits, FashionMNIST
from data.fetch import Remote, fetch


def test_digits_are_where_they_should_be():
    grey = Digits(binarize="no").load()
    assert grey.train.shape == (1437, 8, 8)
    assert grey.test.shape == (360, 8, 8)
    assert grey.train.min() == 0
    assert grey.train.max() == 1
    assert grey.shape == (8, 8)
    assert np.bincount(grey.test_labels).min() > 30


def test_dynamic_draws_anew_and_with_the_right_mean():
    grey, dynamic = Digits(binarize="no").load(), Digits(binarize="dynamic").load()
    index = torch.arange(200)
    draws = torch.stack([dynamic.batch(index) for _ in range(400)])
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(draws[0], draws[1])
    level = grey.train[index]
    z = (draws.mean(0) - level) / (level * (1 - level) / 400).sqrt().clamp(min=1e-9)
    assert z.abs().max() < 5
    assert set(dynamic.test.unique().tolist()) == {0.0, 1.0}


def test_static_is_the_same_in_every_run():
    one = Digits(binarize="static").load()
    torch.manual_seed(5)
    two = Digits(binarize="static").load()
    assert torch.equal(one.train, two.train)
    assert torch.equal(one.test, two.test)
    assert torch.equal(one.batch(torch.arange(9)), one.batch(torch.arange(9)))
    assert set(one.train.unique().tolist()) == {0.0, 1.0}


def test_arrays_from_npy_are_split(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(200, dtype=np.uint8).reshape(50, 4))
    found = Arrays(tmp_path / "x.npy", holdout=0.2, scale=255).load()
    assert found.train.shape == (40, 4)
    assert found.test.shape == (10, 4)
    rows = torch.cat([found.train, found.test]).mul(255).round()
    assert sorted(rows[:, 0].tolist()) == list(range(0, 200, 4))


def test_arrays_from_npz_keep_their_split_and_labels(tmp_path):
    np.savez(tmp_path / "x.npz", train=np.zeros((5, 2)), test=np.ones((3, 2)), test_labels=np.arange(3))
    found = Arrays(tmp_path / "x.npz").load()
    assert found.test.tolist() == [[1, 1]] * 3
    assert found.test_labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.zeros((5, 2))}, "no array `train`; it has other"),
        ({"train": np.zeros(5)}, "count"),
        ({"train": np.array([["a"] * 2] * 5)}, "not numbers"),
        ({"train": np.full((5, 2), np.nan)}, "not finite"),
        ({"train": np.zeros((5, 2)), "test": np.zeros((5, 3))}, "beside"),
        ({"train": np.array([[{}] * 2] * 5)}, "cannot read"),
    ],
)
def test_arrays_that_cannot_be_used_say_why(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=message):
        Arrays(tmp_path / "x.npz").load()


def test_a_missing_or_broken_file_says_so(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        Arrays(tmp_path / "nothing.npy").load()
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(DataError, match="cannot read"):
        Arrays(tmp_path / "x.npz").load()


def test_binarising_counts_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(20.0).reshape(10, 2))
    with pytest.raises(ValueError, match=r"from 0 to 19.*binarize no"):
        Arrays(tmp_path / "x.npy", binarize="dynamic").load()


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
    assert [p.name for p in (cache / "set").iterdir()] == ["file"], "no partial file stays behind"
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
    found = BinarizedMNIST().load()
    assert np.array_equal(found.train.numpy().reshape(6, 784), bits["train"])
    assert np.array_equal(found.test.numpy().reshape(6, 784), bits["test"])
    folder = cache / "binarized_mnist"
    assert [p.name for p in folder.iterdir()] == ["binarized_mnist.npz"]
    np.savez(folder / "binarized_mnist.npz", **{part: np.zeros((6, 98), np.uint8) for part in bits})
    with pytest.raises(DataError, match="corrupt"):
        BinarizedMNIST().load()


@pytest.mark.data
@pytest.mark.parametrize("source", [MNIST, FashionMNIST])
def test_idx_files_hold_what_is_published(source):
    found = source(binarize="no").load()
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
