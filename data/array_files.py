"""Arrays from `.npy` and `.npz` files of anybody's: what a header declares is checked before anything is taken."""

import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from data.dataset import DataError
from data.memory import available, words

SINGLE = "train"  # what the one array of a .npy is called
_BROKEN = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
_VERSIONS: dict[tuple[int, int], Callable] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_ENCRYPTED = 1
_CHANNELS = (1, 3, 4)


def arrays(path: Path, wanted: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Those of the wanted arrays that a file holds, and the names of all that are in it; no other array is read.

    Raises:
        DataError: there is no such file, it is of another kind, broken or too large for the memory.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(6)
            file.seek(0)
            if start == b"\x93NUMPY":
                size = path.stat().st_size
                return {SINGLE: _array(file, size, f"{path}")}, [SINGLE]
            if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
                return _members(file, path, wanted)
    except DataError:
        raise
    except _BROKEN as error:
        raise DataError(f"cannot read arrays from {path}: {_reason(error)}") from error
    raise DataError(f"cannot read arrays from {path}: it is neither a .npy nor a .npz file")


def one_array(path: Path, name: str | None) -> np.ndarray:
    """The array of a `.npy`, or of a `.npz` the one of this name, or the only one.

    Raises:
        DataError: as `arrays`; there is none of this name, or several and no name.
    """
    found, there = arrays(path, () if name is None else (name,))
    if name is None and len(there) == 1:
        found, name = arrays(path, there)[0], there[0]
    if name not in found:
        several = "say which is meant by its name" if name is None else f"there is no {name}"
        raise DataError(f"{path} has the arrays {', '.join(there) or 'none'}: {several}")
    return found[name]


def header(path: Path) -> tuple[tuple[int, ...], np.dtype, int] | None:
    """Shape, type and first byte of the array in a `.npy` file of numbers in C order; None of any other file.

    Raises:
        DataError: the file is one, and broken.
    """
    try:
        with Path(path).open("rb") as file:
            if file.read(6) != b"\x93NUMPY":
                return None
            file.seek(0)
            shape, fortran, dtype, needed = _header(file, Path(path).stat().st_size, f"{path}")
            offset = file.tell()
    except OSError:
        return None  # whoever reads the file says it
    if fortran or dtype.kind not in "buif" or not needed or Path(path).stat().st_size != offset + needed:
        return None
    return shape, dtype, offset


def channels_last(shape: tuple[int, ...]) -> bool:
    """Whether data of this shape are images with 1, 3 or 4 channels last."""
    return len(shape) == 4 and shape[3] in _CHANNELS and shape[1] not in _CHANNELS


def channels_first(x: np.ndarray, place: str) -> tuple[np.ndarray, str | None]:
    """Images with the channels last with these first, and a line that says so; anything else as it is."""
    if not channels_last(x.shape):
        return x, None
    turned = np.ascontiguousarray(np.moveaxis(x, 3, 1))
    return turned, f"{place}: {x.shape} are taken for images with the channels last, and turned to {turned.shape}"


def _members(file: BinaryIO, path: Path, wanted: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    with zipfile.ZipFile(file) as archive:
        there = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        found = {}
        for name in wanted:
            if name not in there:
                continue
            info = there[name]
            if info.flag_bits & _ENCRYPTED:
                raise DataError(f"{path}: `{name}` is encrypted")
            with archive.open(info) as member:
                found[name] = _array(member, info.file_size, f"{path}: `{name}`")
        return found, sorted(there)


def _header(file: BinaryIO, size: int, place: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, order, type and bytes of an array in the format of `.npy`, in a file or a member of `size` bytes."""
    try:
        version = np.lib.format.read_magic(file)
        shape, fortran, dtype = _VERSIONS[version](file)
    except Exception as error:  # a header is Python's syntax: what a broken one raises has no end
        raise DataError(f"{place} is no array") from error
    if dtype.hasobject:
        raise DataError(f"{place} holds Python objects, not numbers; they are never unpickled")
    bytes_ = dtype.itemsize
    for length in shape:
        bytes_ *= length
    if bytes_ > size:
        raise DataError(f"{place} declares {shape} of {dtype}, {words(bytes_)}, and has {words(size)}")
    return shape, fortran, dtype, bytes_


def _array(file: BinaryIO, size: int, place: str) -> np.ndarray:
    """One array in the format of `.npy`."""
    shape, fortran, dtype, bytes_ = _header(file, size, place)
    if bytes_ > available():
        raise DataError(f"{place} takes {words(bytes_)}, and there are {words(available())} of memory")
    content = file.read(bytes_)
    if len(content) < bytes_:
        raise DataError(f"{place} is cut short")
    if file.read(1):
        raise DataError(f"{place} has bytes after its end")
    return np.frombuffer(bytearray(content), dtype).reshape(shape, order="F" if fortran else "C")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return (str(error).splitlines() or [type(error).__name__])[0]
