"""One run, one folder: config.yaml, environment.json, metrics.jsonl, checkpoint.pt, summary.json, figures, report."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml

from training.checkpoint import FILE, CheckpointError, write_atomically

# Where the classes that a run names have gone since it was written.
RENAMED = {
    "objective.": "elbolab.",
    "model.MLP": "elbolab.networks.MLP",
    "model.Convolutional": "elbolab.networks.Convolutional",
    "model.networks.": "elbolab.networks.",
}
# What a resumed run may change: how long, where and on what it runs, not what it computes.
OF_ONE_CALL = frozenset({"resume", "overwrite", "config", "list"})
FREE_ON_RESUME = OF_ONE_CALL | {"epochs", "device", "out", "compile"}


class RunFolder:
    """The folder of one run; what is in it is never mixed with another run's."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def claim(self, settings: dict[str, Any], *, resume: bool = False, overwrite: bool = False) -> None:
        """Asks for the folder for a run with these resolved options; nothing is written or removed yet.

        Raises:
            ValueError: the folder is in use and neither was asked for, or both were.
            CheckpointError: the run that is to be resumed had other options.
        """
        if resume and overwrite:
            raise ValueError("--resume goes on with a run and --overwrite removes it: choose one")
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path} is a file, not a folder for a run")
        if resume:
            self._check_same(settings)
        elif self.path.exists() and any(self.path.iterdir()) and not overwrite:
            raise ValueError(
                f"{self.path} is not empty: --resume goes on with the run in it, --overwrite removes it, --out"
                " names another folder"
            )
        self._claimed, self._fresh = settings, not resume

    def open(self) -> None:
        """Makes the claimed folder ready, once all else about the run is known to be right."""
        if self._fresh:
            self._clear()
        self.path.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in self._claimed.items() if name not in OF_ONE_CALL}
        write_atomically(self.path / "config.yaml", yaml.safe_dump(kept, sort_keys=False).encode())

    def settings(self) -> dict[str, Any]:
        """The options of the run in this folder.

        Raises:
            ValueError: there is none.
        """
        path = self.path / "config.yaml"
        if not path.is_file():
            raise ValueError(f"{self.path} holds no run: there is no {path.name} in it")
        return _renamed(yaml.safe_load(path.read_text()))

    def _check_same(self, settings: dict[str, Any]) -> None:
        before = self.settings()
        changed = [
            name
            for name in sorted(before.keys() | settings.keys())
            if name not in FREE_ON_RESUME and before.get(name) != settings.get(name)
        ]
        if changed:
            raise CheckpointError(
                f"the run in {self.path} had other options: "
                + "; ".join(f"{name} was {before.get(name)}, is {settings.get(name)}" for name in changed)
            )

    def _clear(self) -> None:
        """Removes what a run writes and nothing else, whatever folder was named."""
        names = (
            "config.yaml",
            "environment.json",
            "metrics.jsonl",
            FILE,
            f"{FILE}.sha256",
            "summary.json",
            "report.html",
        )
        for path in (*(self.path / name for name in names), *(self.path / "figures").glob("*.png")):
            path.unlink(missing_ok=True)

    def write_environment(self, device: torch.device) -> None:
        """What the numbers in this folder depend on beside the options."""
        packages = ("torch", "pyro-ppl", "numpy", "jsonargparse", "scikit-learn")
        self._write_json(
            "environment.json",
            {
                "started": datetime.now(UTC).isoformat(timespec="seconds"),
                "python": platform.python_version(),
                "packages": {name: version(name) for name in packages},
                "platform": platform.platform(),
                "device": str(device),
                "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
                "threads": torch.get_num_threads(),
                "cpus": os.cpu_count(),
            },
        )

    def log(self, row: dict[str, Any]) -> None:
        """Adds a line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def forget_after(self, step: int) -> None:
        """Drops the lines that a killed run wrote after the checkpoint that is resumed."""
        kept = [json.dumps(row) + "\n" for row in self.metrics() if row["step"] <= step]
        write_atomically(self.path / "metrics.jsonl", "".join(kept).encode())

    def summarize(self, part: dict[str, Any]) -> None:
        """Adds to summary.json."""
        self._write_json("summary.json", self.summary() | part)

    def summary(self) -> dict[str, Any]:
        """What summary.json holds; nothing where there is none."""
        return self._read_json("summary.json")

    def environment(self) -> dict[str, Any]:
        """What environment.json holds; nothing where there is none."""
        return self._read_json("environment.json")

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        return json.loads(path.read_text()) if path.exists() else {}

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        write_atomically(self.path / name, (json.dumps(content, indent=2) + "\n").encode())


def _renamed(settings: Any) -> Any:
    """The same options with class paths of earlier versions as they are now."""
    if isinstance(settings, dict):
        found = {name: _renamed(value) for name, value in settings.items()}
        path = found.get("class_path")
        if isinstance(path, str):
            old = next((start for start in RENAMED if path.startswith(start)), "")
            found["class_path"] = RENAMED.get(old, "") + path.removeprefix(old)
        return found
    return [_renamed(value) for value in settings] if isinstance(settings, list) else settings
