"""One file that holds all that a run needs to go on bit for bit; written atomically, read without unpickling code."""

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import torch

FILE = "checkpoint.pt"


class CheckpointError(Exception):
    """A checkpoint is missing, damaged or of another run; the message says which."""


def write_atomically(path: Path, content: bytes) -> None:
    """Whatever happens, `path` is either what it was or the whole of `content`."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def generators() -> dict[str, Any]:
    """The state of every generator that a step draws from."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}


def set_generators(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["cpu"].cpu())
    if len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])


def save(folder: Path, state: dict[str, Any]) -> None:
    """Writes tensors and plain values, and the file's sha256 beside it.

    The sidecar names the old and the new file while one replaces the other: a crash always leaves a pair that fits.
    """
    path, sidecar = folder / FILE, _sidecar(folder)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    line = f"{hashlib.sha256(content).hexdigest()}  {FILE}\n"
    write_atomically(sidecar, ((sidecar.read_text() if sidecar.exists() else "") + line).encode())
    write_atomically(path, content)
    write_atomically(sidecar, line.encode())


def _sidecar(folder: Path) -> Path:
    return folder / f"{FILE}.sha256"


def load(folder: Path, device: torch.device | str) -> dict[str, Any]:
    """Reads what `save` wrote.

    Raises:
        CheckpointError: there is none, its checksum differs or it holds more than tensors and plain values.
    """
    path = folder / FILE
    try:
        content, digests = path.read_bytes(), _sidecar(folder).read_text().split()
    except OSError as error:
        raise CheckpointError(f"{folder} has no complete checkpoint: {error}") from error
    if hashlib.sha256(content).hexdigest() not in digests:
        raise CheckpointError(f"{path} is damaged: its sha256 is not the one beside it")
    try:
        return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path} cannot be read as tensors and plain values: {error}") from error
