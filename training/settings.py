"""The options of a run as they stand in config.yaml: what they must hold, and when two of them are of the same run."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from training.trust import renamed

# What a resumed run may change: how long, where and on what it runs, not what it computes.
OF_ONE_CALL = frozenset({"resume", "overwrite", "config", "list", "checkpoint", "trust_code", "change", "seeds"})
FREE_ON_RESUME = OF_ONE_CALL | {"epochs", "patience", "device", "out", "compile", "log"}
# Where the data lie and are kept may change too: the checkpoint knows them by their checksum.
_FREE_PARTS = frozenset({"data.path", "data.in_memory"})
# Options that came later, and what runs before them did.
_LATER = {"schedule_by": "epoch"}
_OF_THE_MACHINE = OF_ONE_CALL | {"device", "out", "compile", "seed"}
# What --change may change of a run that goes on: how its parameters are moved, not what is optimised nor on what.
_CHANGEABLE_PARTS, _CHANGEABLE = ("optimizer.", "schedule."), frozenset({"clip"})
_NEEDED = frozenset({"data", "prior", "likelihood", "guide", "elbo", "latent", "seed"})


def read(path: Path) -> dict[str, Any]:
    """The options in a run's config.yaml.

    Raises:
        ValueError: there is none, or it is cut short or something else.
    """
    try:
        found = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path.parent} holds no run: there is no {path.name} in it") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as a configuration: {_first_line(error)}") from error
    if not isinstance(found, dict) or not found.keys() >= _NEEDED:
        missing = sorted(_NEEDED - found.keys()) if isinstance(found, dict) else sorted(_NEEDED)
        raise ValueError(f"{path} is not the whole configuration of a run: it lacks {', '.join(missing)}")
    return renamed(found)


def with_absolute_path(settings: dict[str, Any]) -> dict[str, Any]:
    """The data's path as it is from every folder, so that the run can be gone on with and judged from another one."""
    where = (settings["data"] or {}).get("init_args", {})
    if where.get("path"):
        where["path"] = os.path.abspath(where["path"])
    return settings


def kept(settings: dict[str, Any]) -> dict[str, Any]:
    """Without what is said to one call of the program alone."""
    return {name: value for name, value in settings.items() if name not in OF_ONE_CALL}


def changeable(name: str) -> bool:
    """Whether an option, by its name on the command line, may be another one from some step of a run on."""
    return name in _CHANGEABLE or name.startswith(_CHANGEABLE_PARTS)


def told(changes: Sequence[str]) -> dict[str, str]:
    """What --change says, NAME=VALUE each.

    Raises:
        ValueError: it names no value, or what a run that goes on keeps.
    """
    found = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not (name and equals and value):
            raise ValueError(f"--change {change}: NAME=VALUE, such as optimizer.lr=3e-4")
        if name.partition(".")[0] in FREE_ON_RESUME:
            raise ValueError(f"--change {change}: --{name} {value} beside --resume will do")
        if not changeable(name):
            may = ", ".join([f"{part}NAME" for part in _CHANGEABLE_PARTS] + sorted(_CHANGEABLE))
            raise ValueError(f"--change {change}: a run that goes on keeps {name}; what may change: {may}")
        found[name] = value
    return found


def differences(before: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What makes two configurations those of two runs: options by name, with both values."""
    one, other = (
        dict(flat({n: v for n, v in (_LATER | settings).items() if n not in FREE_ON_RESUME}))
        for settings in (renamed(before), renamed(now))
    )
    return {
        name: (one.get(name), other.get(name))
        for name in sorted(one.keys() | other.keys())
        if name not in _FREE_PARTS and one.get(name) != other.get(name)
    }


def words(changed: Mapping[str, tuple[Any, Any]]) -> str:
    """Differences as they are said."""
    return "; ".join(f"{name} was {old}, is {new}" for name, (old, new) in changed.items())


def of_results(settings: dict[str, Any]) -> dict[str, Any]:
    """The options that two runs' results may differ by, the seed aside, under the command line's names."""
    chosen = {name: value for name, value in (_LATER | renamed(settings)).items() if name not in _OF_THE_MACHINE}
    # What is not set may be an option that an earlier version did not have.
    return {name: value for name, value in flat(chosen) if name not in _FREE_PARTS and value is not None}


def flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Options under the names that the command line has for them."""
    for name, value in settings.items():
        if name in ("init_args", "dict_kwargs") and isinstance(value, dict):
            yield from flat(value, prefix)
        elif isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{name}.")
        elif name == "class_path" and prefix:
            yield prefix.rstrip("."), value
        else:
            yield prefix + name, value


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
