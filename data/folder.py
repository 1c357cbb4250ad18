"""A folder of images, as people have them: files, class folders, train and test folders."""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from data.dataset import Binarize, Data, DataError, Dataset, Other, Splits
from data.fetch import cached

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
_PARTS = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}


class Images(Data):
    """Your own images: a folder of PNG or JPEG files, in class folders or not, with train and test folders or not.

    Grey images are data of shape (height, width), coloured ones (3, height, width), with 256 levels in [0, 1]. The
    names of class folders are the labels'. What was read is kept as one array in the cache folder, under a key of the
    files' names, sizes and times and of the options.
    """

    levels = 256

    def __init__(
        self,
        path: Path,
        *,
        size: int | None = None,
        colour: Literal["grey", "rgb"] = "grey",
        holdout: float = 0.1,
        binarize: Binarize = "auto",
        dequantize: bool = False,
        validation: float | None = None,
    ) -> None:
        """
        Args:
            path: the folder.
            size: height and width: the shorter side is scaled to it, and the middle is cut out; without it, the images
                have to be of one size.
            colour: grey or rgb.
            holdout: the share of the images that becomes the test set where there is no test folder.
            binarize: no, static, dynamic, or auto: as the likelihood asks.
            dequantize: spread grey levels over (0, 1) by uniform noise, anew for every batch, for densities.
            validation: the share of the training data, or their number, that training is judged on.
        """
        super().__init__(binarize=binarize, dequantize=dequantize, validation=validation)
        if not 0 < holdout < 1:
            raise ValueError(f"holdout = {holdout}: a share of the images, between 0 and 1")
        if size is not None and size < 1:
            raise ValueError(f"size = {size}: height and width in pixels, one at least")
        self.path, self.size, self.colour, self.holdout = Path(path), size, colour, holdout

    def splits(self) -> Splits:
        if not self.path.is_dir():
            raise DataError(f"{self.path} is no folder")
        folders = {part: self._folder(names) for part, names in _PARTS.items()}
        if folders["train"] is None:
            return self._held_out(self.path)
        if folders["test"] is None:
            return self._held_out(folders["train"])
        train, test = (_files(folders[part]) for part in _PARTS)
        names = _classes(train)
        if _classes(test) != names:
            raise DataError(f"{self.path}: the class folders of train are {names}, and those of test {_classes(test)}")
        arrays = [self._read(files) for files in (train, test)]
        shapes = [a.shape[1:] for a in arrays]
        if shapes[0] != shapes[1]:
            raise DataError(f"{self.path}: train images are {shapes[0]}, test images {shapes[1]}; say --data.size")
        labels = [_labels(files, names) for files in (train, test)]
        return Splits(*(_scaled(a) for a in arrays), *labels, label_names=names)

    def read(self, path: Path, array: str | None, like: Dataset) -> Other:
        """An image or a folder of them, sized and coloured as the run's; other files are arrays in [0, 1]."""
        if not path.is_dir() and path.suffix.lower() not in ENDINGS:
            return super().read(path, array, like)
        files = _files(path) if path.is_dir() else [path]
        if not files:
            raise DataError(f"{path} holds no images ({', '.join(sorted(ENDINGS))})")
        place = path if path.is_dir() else path.parent
        return Other(_scaled(self._decoded(files)), tuple(str(file.relative_to(place)) for file in files))

    def _folder(self, names: Sequence[str]) -> Path | None:
        return next((self.path / name for name in names if (self.path / name).is_dir()), None)

    def _held_out(self, folder: Path) -> Splits:
        files = _files(folder)
        if len(files) < 2:
            raise DataError(
                f"{folder} holds {len(files)} images ({', '.join(sorted(ENDINGS))}): two at least are needed"
            )
        names = _classes(files)
        labels, images = _labels(files, names), _scaled(self._read(files))
        order = np.random.default_rng(0).permutation(len(files))
        count = min(max(1, round(self.holdout * len(files))), len(files) - 1)
        held, kept = np.sort(order[:count]), np.sort(order[count:])
        train_labels, test_labels = (None, None) if labels is None else (labels[kept], labels[held])
        return Splits(images[kept], images[held], train_labels, test_labels, label_names=names)

    def _read(self, files: Sequence[Path]) -> np.ndarray:
        """The images as bytes, from the cache where they were read before."""
        told = [f"{self.size} {self.colour}"]
        for file in files:
            state = file.stat()
            told.append(f"{file.resolve()} {state.st_size} {state.st_mtime_ns}")
        key = hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]
        kept = cached(f"images/{key}.npy")
        try:
            return np.load(kept, allow_pickle=False)
        except (OSError, ValueError, EOFError):  # not there, or not whole: it is made anew
            images = self._decoded(files)
        _keep(kept, images)
        return images

    def _decoded(self, files: Sequence[Path]) -> np.ndarray:
        from PIL import Image, ImageOps, UnidentifiedImageError

        found: list[np.ndarray] = []
        for file in files:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", Image.DecompressionBombWarning)
                    with Image.open(file) as image:
                        upright = ImageOps.exif_transpose(image).convert({"grey": "L", "rgb": "RGB"}[self.colour])
                        if self.size:
                            upright = ImageOps.fit(upright, (self.size, self.size), Image.Resampling.BICUBIC)
                        found.append(np.asarray(upright))
            except (OSError, UnidentifiedImageError, Image.DecompressionBombWarning, SyntaxError, ValueError) as error:
                raise DataError(f"{file} cannot be read as an image: {error}") from error
            if found[-1].shape != found[0].shape:
                raise DataError(
                    f"{file} is of {found[-1].shape[1]} x {found[-1].shape[0]} pixels, {files[0]} of"
                    f" {found[0].shape[1]} x {found[0].shape[0]}: say --data.size"
                )
        images = np.stack(found)
        return images if self.colour == "grey" else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _files(folder: Path) -> list[Path]:
    """The images in a folder and in its class folders, in the order of their names."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    inside = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    deep = [path for path in inside if len(path.relative_to(folder).parts) > 2]
    if deep:
        raise DataError(f"{deep[0]} is deeper than a class folder of {folder}")
    flat = {len(path.relative_to(folder).parts) for path in inside}
    if len(flat) > 1:
        raise DataError(f"{folder} has images both in class folders and beside them")
    return sorted(inside)


def _classes(files: Sequence[Path]) -> tuple[str, ...] | None:
    """The names of the class folders; None where all files lie in one."""
    names = sorted({path.parent.name for path in files})
    return tuple(names) if len(names) > 1 else None


def _labels(files: Sequence[Path], names: tuple[str, ...] | None) -> np.ndarray | None:
    return None if names is None else np.array([names.index(path.parent.name) for path in files])


def _scaled(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / 255


def _keep(path: Path, images: np.ndarray) -> None:
    """Writes the cache if it can be written; its file appears whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            np.save(file, images, allow_pickle=False)
        os.replace(file.name, path)
    except OSError as error:
        warnings.warn(f"the images are not kept: {error}", stacklevel=2)
