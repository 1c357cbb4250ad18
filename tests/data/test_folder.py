"""A folder of images: every layout that people have, what is read, what is kept, what is refused."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

import train
from data import DataError, Images


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ELBOLAB_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


def written(folder, count=12, *, classes=2, shape=(8, 8), start=0):
    """Digits as PNG files, in a folder for each label where there are classes."""
    images, _ = load_digits(return_X_y=True)
    for i in range(start, start + count):
        place = folder / f"kind {i % classes}" if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        grey = (images[i].reshape(8, 8) * 255 / 16).astype(np.uint8)
        Image.fromarray(grey).resize(shape[::-1]).save(place / f"{i:03}.png")
    return folder


def test_class_folders_are_labels_and_values_are_grey_levels(tmp_path):
    splits = Images(written(tmp_path / "d"), holdout=0.25).splits()
    assert splits.train.shape == (9, 8, 8)
    assert splits.test.shape == (3, 8, 8)
    assert splits.label_names == ("kind 0", "kind 1")
    everything = np.concatenate([splits.train, splits.test])
    expected = np.stack([(load_digits().data[i].reshape(8, 8) * 255 / 16).astype(np.uint8) for i in range(12)]) / 255
    assert {a.tobytes() for a in everything} == {a.tobytes() for a in expected.astype(np.float32)}
    for image, label in zip(splits.test, splits.test_labels, strict=True):
        number = next(i for i, e in enumerate(expected.astype(np.float32)) if (e == image).all())
        assert number % 2 == label


def test_train_and_test_folders_are_the_splits(tmp_path):
    written(tmp_path / "d/train", 6)
    written(tmp_path / "d/test", 4, start=6)
    splits = Images(tmp_path / "d").splits()
    assert (len(splits.train), len(splits.test)) == (6, 4)
    assert splits.test_labels.tolist() == [0, 0, 1, 1]


def test_a_validation_folder_is_the_test_set_where_there_is_no_other(tmp_path):
    written(tmp_path / "d/train", 6)
    written(tmp_path / "d/val", 2, start=6)
    assert len(Images(tmp_path / "d").splits().test) == 2


def test_the_held_out_images_are_the_same_in_every_run(tmp_path):
    folder = written(tmp_path / "d", classes=0)
    one, other = Images(folder).splits(), Images(folder).splits()
    assert np.array_equal(one.test, other.test)
    assert one.label_names is None
    assert one.test_labels is None


def test_colours_come_first_and_the_middle_is_cut_out(tmp_path):
    china = load_sample_image("china.jpg")
    for i in range(3):
        Image.fromarray(china[i * 50 : i * 50 + 200, 100:400]).save(tmp_path / f"{i}.jpg", quality=95)
    splits = Images(tmp_path, size=16, colour="rgb").splits()
    assert splits.train.shape == (2, 3, 16, 16)
    first = np.concatenate([splits.train, splits.test])
    mean = china[0:200, 150:350].mean((0, 1)) / 255
    assert min(np.abs(image.mean((1, 2)) - mean).max() for image in first) < 0.02


def test_what_was_read_is_kept_until_a_file_changes(tmp_path, cache, monkeypatch):
    folder = written(tmp_path / "d", classes=0)
    before = Images(folder).splits()
    kept = list(cache.iterdir())
    assert len(kept) == 1
    monkeypatch.setattr(Images, "_decoded", lambda *_: pytest.fail("read again"))
    assert np.array_equal(Images(folder).splits().train, before.train)
    monkeypatch.undo()
    monkeypatch.setenv("ELBOLAB_DATA", str(cache.parent))
    Image.fromarray(np.full((8, 8), 200, np.uint8)).save(folder / "000.png")
    after = Images(folder).splits()
    assert any((image == np.float32(200) / 255).all() for image in [*after.train, *after.test])


def test_a_damaged_cache_is_made_anew(tmp_path, cache):
    folder = written(tmp_path / "d", classes=0)
    before = Images(folder).splits()
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:200])
    assert np.array_equal(Images(folder).splits().train, before.train)


def broken(folder):
    written(folder)
    (folder / "kind 0" / "000.png").write_bytes(b"no image")


def sizes(folder):
    written(folder, shape=(8, 9))
    written(folder, 1, shape=(9, 8), start=12)


def other_sizes(folder):
    written(folder / "train")
    written(folder / "test", shape=(9, 8))


def beside(folder):
    written(folder)
    written(folder, 1, classes=0)


def deep(folder):
    written(folder / "more" / "and")


def other_classes(folder):
    written(folder / "train")
    written(folder / "test", classes=3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (broken, "000.png cannot be read as an image"),
        (sizes, "is of 8 x 9 pixels, .*000.png of 9 x 8: say --data.size"),
        (other_sizes, r"train images are \(8, 8\), test images \(9, 8\); say --data.size"),
        (beside, "both in class folders and beside them"),
        (deep, "deeper than a class folder"),
        (other_classes, "class folders of train"),
        (lambda folder: folder.mkdir(), "holds 0 images"),
        (lambda folder: None, "is no folder"),
    ],
)
def test_what_is_refused(make, said, tmp_path):
    make(tmp_path / "d")
    with pytest.raises(DataError, match=said):
        Images(tmp_path / "d").splits()


def test_options_are_checked():
    with pytest.raises(ValueError, match="holdout"):
        Images("x", holdout=1.0)
    with pytest.raises(ValueError, match="size"):
        Images("x", size=0)


def test_it_trains(tmp_path):
    folder = written(tmp_path / "d", 40)
    options = ["--data", "Images", "--data.path", str(folder), "--latent", "2", "--hidden", "8", "--epochs", "1"]
    assert train.main([*options, "--out", str(tmp_path / "run")]) == 0
