"""One run, one folder: config.yaml, environment.json, metrics.jsonl, checkpoint.pt, summary.json, figures, report."""

import json
import os
import platform
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock

from data.files import PARTIAL, check_writable, write_atomically
from training import checkpoint, lock, settings
from training.checkpoint import CheckpointError

FIGURES = ("reconstructions", "samples", "walk", "codes", "latent", "columns", "curves")
# What a use of the run writes, where its user names no other file.
USES = {"encode": "codes.npz", "sample": "samples.npz", "reconstruct": "reconstructions.npz", "score": "scores.npz"}
_CONFIG = "config.yaml"
_WRITTEN = (
    "environment.json",
    "metrics.jsonl",
    "metrics.csv",
    "summary.json",
    "report.html",
    *USES.values(),
    *checkpoint.FILES.values(),
    checkpoint.SIDECAR,
    *(f"figures/{name}.png" for name in FIGURES),
)
_EVENTS = "tensorboard/events.out.tfevents.*"
_SUMMARY_LOCK = ".summary.lock"


class RunFolder:
    """The folder of one run; what is in it is never mixed with another run's."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.claimed: dict[str, Any] = {}
        self._lock = lock.Lock(self.path)

    def claim(
        self,
        options: dict[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
        changes: Collection[str] = (),
    ) -> None:
        """Asks for the folder for a run with these resolved options; nothing of a run is written or removed yet.

        Args:
            options: of the run.
            resume: go on with the run that is in it.
            overwrite: remove the run that is in it.
            changes: options that a resumed run is told to change.

        Raises:
            ValueError: the folder is in use and neither was asked for, or both were; it cannot be written.
            CheckpointError: the run that is to be resumed had other options.
        """
        if resume and overwrite:
            raise ValueError("--resume goes on with a run and --overwrite removes it: choose one")
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path} is a file, not a folder for a run")
        check_writable(self.path)
        self.claimed, self._resume, self._overwrite, self._changes = options, resume, overwrite, changes
        if self.path.exists():
            self._lock.take()
        self._check()

    def _check(self) -> None:
        if self._resume:
            changed = settings.differences(self.settings(), self.claimed)
            if other := {name: pair for name, pair in changed.items() if name not in self._changes}:
                way = "; --change NAME=VALUE changes it from here on" if all(map(settings.changeable, other)) else ""
                raise CheckpointError(f"the run in {self.path} had other options: {settings.words(other)}{way}")
        elif self._overwrite:
            self._refuse_foreign()
        elif self.path.exists() and self._in_use():
            raise ValueError(
                f"{self.path} is not empty: --resume goes on with the run in it, --overwrite removes it, --out"
                " names another folder"
            )

    def _in_use(self) -> bool:
        """Whether there is anything in it; what a process that was killed at its start left does not count."""
        return any(p.name not in (lock.FILE, _SUMMARY_LOCK) and not _is_partial(p) for p in self.path.iterdir())

    def _refuse_foreign(self) -> None:
        """A file that only bears the name of one that a run writes is somebody's own."""
        there = [name for name in (_CONFIG, *_WRITTEN) if (self.path / name).exists()]
        try:
            self.settings()
        except ValueError as error:
            if there:
                raise ValueError(f"--overwrite removes runs alone, and {there[0]} may be no run's: {error}") from error

    def open(self, notes: Sequence[str] = ()) -> None:
        """Makes the claimed folder ready, once all else about the run is known to be right.

        Args:
            notes: what config.yaml says in comments: which of its options were others up to some step.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock.take()
        self._check()  # again, now that nobody else can write here
        for leftover in filter(_is_partial, self.path.iterdir()):
            leftover.unlink(missing_ok=True)
        if not self._resume:
            for path in (*(self.path / name for name in _WRITTEN), *self.path.glob(_EVENTS)):
                path.unlink(missing_ok=True)
        # Last: until here the folder is the run's that was in it, only younger.
        content = "".join(f"# {note}\n" for note in notes)
        content += yaml.safe_dump(settings.kept(self.claimed), sort_keys=False)
        write_atomically(self.path / _CONFIG, content.encode())

    def release(self) -> None:
        """Lets others write here."""
        self._lock.release()

    def settings(self) -> dict[str, Any]:
        """The options of the run in this folder.

        Raises:
            ValueError: there is none, or its config.yaml is not whole.
        """
        return settings.read(self.path / _CONFIG)

    def check_settings(self, record: dict[str, Any]) -> None:
        """Whether config.yaml is still the one that the checkpoint was made with.

        Raises:
            CheckpointError: it is another.
        """
        changed = settings.differences(record.get("settings") or self.settings(), self.settings())
        # Of a run that was killed as it changed an option, the configuration has the new one already.
        if other := {name: pair for name, pair in changed.items() if not settings.changeable(name)}:
            raise CheckpointError(f"{self.path / _CONFIG} is not of the checkpoint beside it: {settings.words(other)}")

    def write_environment(self, found: dict[str, Any], step: int) -> None:
        """What the numbers in this folder depend on beside the options; of a resumed run, of every start."""
        path, now = self.path / "environment.json", {"started": datetime.now(UTC).isoformat(timespec="seconds")} | found
        before = _json(path)
        starts = [*before.get("resumed", []), {"step": step} | now] if before else []
        self._write_json("environment.json", {**(before or now), **({"resumed": starts} if starts else {})})

    def log(self, row: dict[str, Any]) -> None:
        """Adds a line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; one that is cut short, as a killed process leaves it, is not there yet.

        Raises:
            CheckpointError: another line cannot be read.
        """
        path = self.path / "metrics.jsonl"
        lines = path.read_text(errors="replace").split("\n") if path.exists() else [""]
        try:
            rows = [json.loads(line) for line in lines[:-1]]
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} holds a line that is no JSON: {error}") from error
        if not all(isinstance(row, dict) and type(row.get("step")) is int for row in rows):
            raise CheckpointError(f"{path} holds a line without a step")
        return rows

    def mend_metrics(self, history: list[dict[str, Any]]) -> None:
        """Makes metrics.jsonl what the checkpoint says: nothing missing, nothing of a later step."""
        content = "".join(json.dumps(row) + "\n" for row in history).encode()
        path = self.path / "metrics.jsonl"
        if not path.exists() or path.read_bytes() != content:
            write_atomically(path, content)

    def summarize(self, part: dict[str, Any]) -> None:
        """Adds to summary.json, which a training and an evaluation may do at once."""
        with FileLock(self.path / _SUMMARY_LOCK, timeout=30):
            for leftover in self.path.glob(f".summary.json.*{PARTIAL}"):  # a killed process's: nobody else writes now
                leftover.unlink(missing_ok=True)
            self._write_json("summary.json", self.summary() | part)

    def summary(self) -> dict[str, Any]:
        """What summary.json holds; nothing where there is none, or a broken one: it can be written anew."""
        return _json(self.path / "summary.json")

    def environment(self) -> dict[str, Any]:
        """What environment.json holds; nothing where there is none."""
        return _json(self.path / "environment.json")

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        write_atomically(self.path / name, (json.dumps(content, indent=2) + "\n").encode())


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device and threads."""
    packages = ("torch", "pyro-ppl", "numpy", "jsonargparse", "scikit-learn")
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "platform": platform.platform(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
    }


def _json(path: Path) -> dict[str, Any]:
    """A file that can be written anew from the run; nothing, where it is missing or broken."""
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(path.read_text())
        return found if isinstance(found, dict) else {}
    return {}


def _is_partial(path: Path) -> bool:
    """What a killed training left; an evaluation's may still be written."""
    return path.name.startswith(".") and path.name.endswith(PARTIAL) and not path.name.startswith(".summary")
