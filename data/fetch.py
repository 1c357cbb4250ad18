"""Downloads: verified, atomic, from the first mirror that answers, cached."""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import torch

from data.dataset import DataError


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
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == remote.sha256:
        return path
    problem = f"{path} has the wrong checksum" if path.exists() else f"{path} is missing"
    failures = []
    for address in remote.addresses:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(address, str(path), remote.sha256, progress=sys.stderr.isatty())
            return path
        except (OSError, RuntimeError) as error:
            failures.append(f"  {address}: {error}")
    raise DataError(
        f"{problem} and could not be downloaded:\n" + "\n".join(failures) + f"\nPut {path.name}"
        f" (sha256 {remote.sha256}) into {path.parent}, or set ELBOLAB_DATA to a folder that holds {remote.path}."
    )
