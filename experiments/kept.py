"""What is kept of a run: its options, its numbers and what they depend on, one small file of JSON."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from training import RunFolder

HERE = Path(__file__).parent
RESULTS = HERE / "results"
_NOT_THE_ROW = ("seed", "device", "compile", "out")  # what a run may choose and be of the row for all that


class Kept(NamedTuple):
    """A run's record; `test` and `exact` in nats per datum."""

    row: str
    seed: int
    settings: dict[str, Any]
    seconds: float
    versions: dict[str, str]
    test: dict[str, float]
    exact: dict[str, Any]


def rows() -> dict[str, dict[str, Any]]:
    """What every YAML says, by its name; where the data lie may be another place for every run."""
    found = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(HERE.glob("*.yaml"))}
    for said in found.values():
        if isinstance(said["data"], dict):
            said["data"] = _without_path(said["data"])
    return found


def keep(run: Path) -> Path:
    """Writes a run's record and returns where.

    Raises:
        ValueError: the folder holds no run, the run is of no row, or it was not judged.
    """
    folder = RunFolder(run)
    settings, summary = folder.settings(), folder.summary()
    if "test" not in summary:
        raise ValueError(f"{run} was not judged: python evaluate.py {run}")
    row = row_of(settings, rows())
    if summary["train"]["epoch"] < settings["epochs"]:
        raise ValueError(f"{run} is at epoch {summary['train']['epoch']} of {settings['epochs']}")
    environment = folder.environment()
    record = Kept(
        row=row,
        seed=settings["seed"],
        settings=portable(settings),
        seconds=round(summary["train"]["seconds"]),
        versions={name: environment["packages"][name] for name in ("torch", "pyro-ppl")},
        test=summary["test"],
        exact=summary.get("exact", {}),
    )
    path = RESULTS / f"{row}-{record.seed}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record._asdict(), indent=1) + "\n")
    return path


def row_of(settings: dict[str, Any], named: dict[str, dict[str, Any]]) -> str:
    """The row that a run is of: all that its YAML says holds, and no YAML that says more does.

    Raises:
        ValueError: there is none.
    """
    # Two rows may agree where one of them leaves an option out: the one that says more is meant.
    fitting = [name for name, said in named.items() if says(settings, said)]
    if not fitting:
        raise ValueError("the run is of no row: train it with --config experiments/ROW.yaml")
    return max(fitting, key=lambda name: len(json.dumps(named[name])))


def says(settings: Any, said: Any) -> bool:  # noqa: ANN401
    """Whether options are what a YAML says they are; a class may be named without its package."""
    if isinstance(said, dict):
        return isinstance(settings, dict) and all(says(settings.get(k, _of_default(k)), v) for k, v in said.items())
    if isinstance(settings, dict):
        return settings.get("class_path", "").split(".")[-1] == str(said).split(".")[-1]
    if isinstance(said, str) and isinstance(settings, str):
        return settings.split(".")[-1] == said.split(".")[-1]
    return settings == said


def _of_default(name: str) -> Any:  # noqa: ANN401
    return {} if name == "init_args" else None


def portable(settings: dict[str, Any]) -> dict[str, Any]:
    """Without what a machine or a repetition has of its own, and as JSON has it."""
    kept = {name: value for name, value in settings.items() if name not in _NOT_THE_ROW}
    kept["data"] = _without_path(kept["data"])
    return json.loads(json.dumps({k: None if v == math.inf else v for k, v in kept.items()}, default=str))


def _without_path(data: dict[str, Any]) -> dict[str, Any]:
    arguments = {name: value for name, value in data.get("init_args", {}).items() if name != "path"}
    return {"class_path": data["class_path"], "init_args": arguments}


def load() -> dict[str, list[Kept]]:
    """All that was kept, by row, in the order of the seeds."""
    found: dict[str, list[Kept]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        record = Kept(**json.loads(path.read_text()))
        found.setdefault(record.row, []).append(record)
    return {row: sorted(records, key=lambda record: record.seed) for row, records in found.items()}
