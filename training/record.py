"""What a checkpoint knows of its run beside the numbers: options, data, versions; and what has changed since."""

import hashlib
from typing import Any

import numpy as np

from data import Splits
from data.on_disk import RowsOnDisk
from training.checkpoint import CheckpointError
from training.run_folder import RunFolder


def fingerprints(splits: Splits) -> dict[str, str]:
    """The sha256 of every split: of its values, their type and their shape."""
    return {name: _sha256(part) for name, part in splits._asdict().items() if part is not None}


def _sha256(part: np.ndarray | RowsOnDisk | tuple[str, ...]) -> str:
    """Of an array, of rows on the disk, which have that of the array in memory, or of names."""
    if isinstance(part, RowsOnDisk):
        digest = hashlib.sha256(f"{part.dtype.str} {part.shape}".encode())
        for block in part.blocks():
            digest.update(block.reshape(-1).view(np.uint8))
        return digest.hexdigest()
    array = np.asarray(part)
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8) if array.size else b"")
    return digest.hexdigest()


def check(record: dict[str, Any], folder: RunFolder, data: dict[str, str]) -> None:
    """Whether a checkpoint is of the options beside it and of these data.

    Raises:
        CheckpointError: it is not; the message says what differs.
    """
    folder.check_settings(record)
    before = record.get("data", data)  # checkpoints of earlier versions do not know
    if changed := sorted(name for name in before.keys() | data.keys() if before.get(name) != data.get(name)):
        raise CheckpointError(
            f"the data are not those that the run in {folder.path} was trained on: {', '.join(changed)} differ in"
            " content (sha256)"
        )


def changes(record: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What else a run's numbers depend on and has changed since the checkpoint, in words."""
    before = record.get("environment", {})
    pairs = {
        "python": (before.get("python"), now["python"]),
        "device": (before.get("device_name"), now["device_name"]),
        "threads": (before.get("threads"), now["threads"]),
    }
    pairs |= {name: (before.get("packages", {}).get(name), version) for name, version in now["packages"].items()}
    return [f"{name} was {old}, is {new}" for name, (old, new) in pairs.items() if old is not None and old != new]
