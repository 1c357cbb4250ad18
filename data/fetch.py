"""Downloads: verified, atomic, from the first mirror that answers, cached."""

import hashlib
import os
import time
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import platformdirs
from filelock import FileLock
from tqdm import tqdm

from data.dataset import DataError
from data.files import replacing

_SILENCE, _PATIENCE = 20, 900  # seconds: that an address may say nothing, and that a file may take in all
_BLOCK = 2**16


@dataclass(frozen=True)
class Remote:
    """A file by its place in the cache, its sha256 and the addresses that offer it."""

    path: str
    sha256: str
    addresses: tuple[str, ...]


def cached(path: str) -> Path:
    """Where a file lies in `$ELBOLAB_DATA` or, without it, in the user's cache folder."""
    return Path(os.environ.get("ELBOLAB_DATA") or platformdirs.user_cache_dir("elbolab")) / path


def fetch(remote: Remote) -> Path:
    """Returns the verified local copy of a file and downloads it where there is none.

    Raises:
        DataError: no address answers with the right file, or the folder cannot be written.
    """
    path = cached(remote.path)
    if _is(path, remote.sha256):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):  # of several processes one downloads
            if _is(path, remote.sha256):
                return path
            problem = f"{path} has the wrong checksum" if path.exists() else f"{path} is missing"
            failures = []
            for address in remote.addresses:
                try:
                    _download(address, path, remote.sha256)
                    return path
                except (OSError, HTTPException, ValueError) as error:
                    failures.append(f"{address}: {error}")
    except OSError as error:
        raise DataError(
            f"{path.parent} cannot be written: {error.strerror}; set ELBOLAB_DATA to another folder"
        ) from error
    raise DataError(
        f"{problem} and could not be downloaded: {'; '.join(failures)}\nPut {path.name}"
        f" (sha256 {remote.sha256}) into {path.parent}, or set ELBOLAB_DATA to a folder that holds {remote.path}."
    )


def _is(path: Path, sha256: str) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _download(address: str, path: Path, sha256: str) -> None:
    """Puts the file in its place.

    Raises:
        OSError: the address does not answer, or not fast enough. ValueError: it has another file.
    """
    until, digest = time.monotonic() + _PATIENCE, hashlib.sha256()
    with urlopen(address, timeout=_SILENCE) as answer, replacing(path) as file:
        total = int(answer.headers.get("Content-Length") or 0)
        with tqdm(total=total or None, unit="B", unit_scale=True, desc=path.name, disable=None, leave=False) as bar:
            while block := answer.read(_BLOCK):
                file.write(block)
                digest.update(block)
                bar.update(len(block))
                if time.monotonic() > until:
                    raise TimeoutError(f"not done after {_PATIENCE} seconds")
        if digest.hexdigest() != sha256:
            raise ValueError("it offers another file (sha256)")
