"""All that a run needs to go on bit for bit, in one file; the one before it and the best one are kept beside it.

Written atomically, read without unpickling code. `checkpoint.pt.sha256` holds the checksums of all three, in the format
of `sha256sum`. While a file is replaced it lists the old and the new one: a crash always leaves pairs that fit.
"""

import hashlib
import io
import math
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args
from uuid import uuid4

import torch
from torch import Tensor

from data.files import PARTIAL, write_atomically

Kept = Literal["last", "previous", "best"]
FILE = "checkpoint.pt"
FILES: dict[str, str] = {"last": FILE, "previous": "checkpoint.previous.pt", "best": "checkpoint.best.pt"}
SIDECAR = f"{FILE}.sha256"


class CheckpointError(Exception):
    """A checkpoint is missing, damaged or of another run; the message says which."""


def generators() -> dict[str, Any]:
    """The state of every generator that a step draws from."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}


def set_generators(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["cpu"].cpu())
    if len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])


def save(folder: Path, state: dict[str, Any], *, best: bool = False) -> None:
    """Writes tensors and plain values; what was the last checkpoint is kept as the previous one.

    Args:
        folder: the run's.
        state: what to keep.
        best: whether this is the best one so far: it is then kept under that name too.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content, before = buffer.getvalue(), _digests(folder)
    new = [hashlib.sha256(content).hexdigest()]
    after = before | {FILE: new}
    if goes_on := FILE in before and (folder / FILE).exists():
        after[FILES["previous"]] = before[FILE]
    if best:
        after[FILES["best"]] = new
    _note(folder, {name: [*before.get(name, []), *digests] for name, digests in after.items()})
    if goes_on:
        _copy(folder / FILE, folder / FILES["previous"])
    write_atomically(folder / FILE, content)
    if best:
        _copy(folder / FILE, folder / FILES["best"])
    _note(folder, after)


def keep_as_best(folder: Path) -> None:
    """Keeps the last checkpoint as the best one too, where a crash came between its two names."""
    content, before, name = (folder / FILE).read_bytes(), _digests(folder), FILES["best"]
    digest = hashlib.sha256(content).hexdigest()
    if (folder / name).exists() and (folder / name).read_bytes() == content and before.get(name) == [digest]:
        return
    _note(folder, before | {name: [*before.get(name, []), digest]})
    _copy(folder / FILE, folder / name)
    _note(folder, before | {name: [digest]})


def _copy(source: Path, target: Path) -> None:
    """The same file under a second name; a copy of it where the file system has no hard links."""
    partial = target.with_name(f".{target.name}.{uuid4().hex}{PARTIAL}")
    try:
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)  # it stays where both were one file already


def _digests(folder: Path) -> dict[str, list[str]]:
    """The checksums by the file that they are of."""
    found: dict[str, list[str]] = {}
    path = folder / SIDECAR
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        digest, _, name = line.partition("  ")
        found.setdefault(name, []).append(digest)
    return found


def _note(folder: Path, digests: dict[str, list[str]]) -> None:
    lines = [f"{digest}  {name}\n" for name, found in digests.items() for digest in dict.fromkeys(found)]
    write_atomically(folder / SIDECAR, "".join(lines).encode())


def written(folder: Path) -> bool:
    """Whether a checkpoint was ever written here, be it damaged since."""
    return any((folder / name).exists() for name in FILES.values())


def load(folder: Path, device: torch.device | str, which: Kept = "last") -> dict[str, Any]:
    """Reads what `save` wrote.

    Raises:
        CheckpointError: there is none, its checksum differs or it holds more than tensors and plain values.
    """
    path = folder / FILES[which]
    try:
        if which == "best" and not path.exists():
            raise CheckpointError(
                f"{folder} has no best checkpoint: it is chosen by the validation -ELBO after an epoch, in a run with"
                " --data.validation"
            )
        return _read(path, device)
    except CheckpointError as error:
        others = [name for name in get_args(Kept) if name != which and _whole(folder / FILES[name])]
        advice = f"; whole are: {', '.join(others)} (--checkpoint {others[0]})" if others else ""
        raise CheckpointError(f"{error}{advice}") from None


def _read(path: Path, device: torch.device | str) -> dict[str, Any]:
    try:
        content, digests = path.read_bytes(), _digests(path.parent).get(path.name)
    except OSError as error:
        raise CheckpointError(f"{path.parent} has no complete checkpoint: {error.strerror}: {path.name}") from error
    if digests is None:
        raise CheckpointError(f"{path.parent} has no complete checkpoint: no checksum of {path.name} in {SIDECAR}")
    if hashlib.sha256(content).hexdigest() not in digests:
        raise CheckpointError(f"{path} is damaged: its sha256 is not the one beside it")
    try:
        # Whatever a file of somebody else's makes the reader raise, the file is refused.
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{path} is refused: it holds more than tensors and plain values, or no zip") from error
    problem = next((words for words, wrong in _FORM.items() if wrong(state)), None)
    if problem:
        raise CheckpointError(f"{path} is no checkpoint of this program: {problem}")
    return state


def _whole(path: Path) -> bool:
    with suppress(OSError):
        return hashlib.sha256(path.read_bytes()).hexdigest() in _digests(path.parent).get(path.name, [])
    return False


def _of(state: dict[str, Any], key: str, kind: type, inside: Callable[[Any], bool] = lambda _: True) -> bool:
    return isinstance(state.get(key), kind) and all(map(inside, state[key]))


def _finite(value: Any) -> bool:
    return isinstance(value, Tensor) and bool(value.isfinite().all())


def _is_row(row: Any) -> bool:
    """A line of the history: numbers or lists of them by name, among them the epoch and the step."""
    if not isinstance(row, dict) or not {"epoch", "step"} <= row.keys():
        return False
    return all(type(name) is str and _are_numbers(value) for name, value in row.items())


def _are_numbers(value: Any) -> bool:
    return all(type(number) in (int, float) for number in (value if type(value) is list else [value]))


# What is wrong with a state, in words, and how that is seen.
_FORM: dict[str, Callable[[Any], bool]] = {
    "it is no dictionary": lambda s: not isinstance(s, dict),
    "it has no step": lambda s: type(s.get("step")) is not int or s["step"] < 0,
    "it does not say how steps are taken": lambda s: not isinstance(s.get("compiled"), bool | None),
    "its parameters are not finite tensors": lambda s: (
        not _of(s, "objective", dict) or not all(map(_finite, s["objective"].values()))
    ),
    "it has no optimiser": lambda s: (
        not _of(s, "optimizer", dict) or s["optimizer"].keys() != {"state", "param_groups"}
    ),
    "it has no sums": lambda s: not _of(s, "totals", list, lambda t: _finite(t) and t.dim() == 0),
    "its gradient norms are no number": lambda s: "norms" in s and not (_finite(s["norms"]) and s["norms"].dim() == 0),
    "it has no generators": lambda s: (
        not _of(s, "generators", list, lambda g: isinstance(g, dict) and g.keys() == {"cpu", "cuda"})
    ),
    "its history is no list of numbers by name": lambda s: "history" in s and not _of(s, "history", list, _is_row),
    "its options are no dictionary": lambda s: not isinstance(s.get("record", {}), dict),
    "its first score is no number": lambda s: (
        not isinstance(s.get("untrained"), float | None)
        or (isinstance(s.get("untrained"), float) and math.isnan(s["untrained"]))
    ),
}
