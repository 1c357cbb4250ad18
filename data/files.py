"""Files that are whole or not there: written under a name of their own, flushed, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import BinaryIO

PARTIAL = ".partial"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write into that takes the place of `path` at the end; whatever happens, that is the old or the new.

    Its name is nobody else's: two processes that write the same file do not write into each other's.
    """
    path = Path(path)
    file = NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL, delete=False)  # noqa: SIM115
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(file.name, 0o666 & ~_umask())
        os.replace(file.name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(file.name)
        raise
    flush_names(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Whatever happens, `path` is either what it was or the whole of `content`."""
    with replacing(path) as file:
        file.write(content)


def check_writable(path: Path) -> None:
    """Whether a folder, or a file that is to be, can be written: found out before anything is prepared for it.

    Raises:
        ValueError: it cannot.
    """
    place = path if path.is_dir() else path.parent
    try:
        there = next(folder for folder in (place, *place.absolute().parents) if folder.exists())
        with TemporaryFile(dir=there) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}") from error


def flush_names(folder: Path) -> None:
    """Has the folder's names themselves on the disk: a rename that is not flushed may be undone by a power cut."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no such call
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    """What new files may not be; there is no way to ask without setting it."""
    current = os.umask(0o077)
    os.umask(current)
    return current
