"""Which code a configuration may name: this program's own classes, and what its user vouches for.

A class path is an instruction to import, and importing runs code. What is typed on the command line is the user's own
word. What is read from a file may be somebody else's: there only the catalogue's classes, Pyro's ELBOs and torch's
optimisers are named freely, others with --trust-code, and a module that lies in a run's folder never. jsonargparse
enforces it: it imports nothing that is not on its list.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import set_parsing_settings

from elbolab import estimators

# The options that name a class.
PARTS = frozenset(
    {"data", "prior", "likelihood", "guide", "network", "elbo", "optimizer", "schedule", "annealing", "log"}
)
# Where the classes that a run names have gone since it was written.
RENAMED = {
    "objective.": "elbolab.",
    "model.MLP": "elbolab.networks.MLP",
    "model.Convolutional": "elbolab.networks.Convolutional",
    "model.networks.": "elbolab.networks.",
}
OWN = (
    "data",
    "elbolab.estimators",
    "elbolab.networks",
    "guide.posteriors",
    "model.likelihoods",
    "model.priors",
    "pyro.infer",
    "torch.optim",
    "training.annealing",
    "training.loggers",
)
# Names that a package hands on from those.
_HANDED_ON = (
    *(f"elbolab.{name}" for name in estimators.__all__),
    *(f"model.{name}" for name in ("MLP", "Convolutional")),
)
_OF_A_RUN = ("checkpoint.pt", "metrics.jsonl", "environment.json")

set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*OWN, *_HANDED_ON])


def renamed(settings: Any) -> Any:
    """The same options with class paths of earlier versions as they are now."""
    if isinstance(settings, dict):
        found = {name: renamed(value) for name, value in settings.items()}
        path = found.get("class_path")
        if isinstance(path, str):
            old = next((start for start in RENAMED if path.startswith(start)), "")
            found["class_path"] = RENAMED.get(old, "") + path.removeprefix(old)
        return found
    return [renamed(value) for value in settings] if isinstance(settings, list) else settings


def command_line(arguments: Sequence[str]) -> None:
    """Lets the command line name classes of the user's own, from the working folder too, and its files what they may.

    Raises:
        ValueError: a class that lies in a run's folder; a file with code that is not this program's.
    """
    trust = asked_for(arguments)
    for given, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, value = given.partition("=")
        value = value if equals else following
        if name.removeprefix("--") in PARTS and _is_path(value):
            _allow(value)
        elif name == "--config" and (content := _loaded(value)) is not None:
            read(content, Path(value), trust=trust)


def asked_for(arguments: Sequence[str]) -> bool:
    """Whether a command line vouches for the code that its files name."""
    return bool({"--trust-code", "--trust_code"} & set(arguments))


def read(settings: Any, source: Path, *, trust: bool) -> None:
    """Lets a file name the code that it may.

    Raises:
        ValueError: it names code that is not this program's, without `trust` or in a run's folder.
    """
    foreign = list(dict.fromkeys(path for path in _paths(settings) if not _own(path)))
    if foreign and not trust:
        raise ValueError(
            f"{source} names code that is not this program's: {', '.join(foreign)}. Loading it runs it; if you know"
            " who wrote it, add --trust-code"
        )
    for path in foreign:
        _allow(path)


def _loaded(value: str) -> Any:
    """What a configuration file holds; nothing, where the parser will say what is wrong with it."""
    with suppress(OSError, ValueError, yaml.YAMLError, RecursionError):
        return renamed(yaml.safe_load(Path(value).read_text()))
    return None


def _paths(settings: Any) -> Iterator[str]:
    """The class paths that options name, as a class_path or as a string in a part's place."""
    if isinstance(settings, dict):
        for name, value in settings.items():
            if name == "class_path" or (name in PARTS and isinstance(value, str)):
                yield str(value)
            yield from _paths(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from _paths(value)


def _is_path(value: str) -> bool:
    return "." in value and all(part.isidentifier() for part in value.split("."))


def _own(path: str) -> bool:
    if "." not in path:  # a name of the catalogue's: jsonargparse looks among the classes that are there
        return True
    return path in _HANDED_ON or any(path.startswith(f"{own}.") for own in OWN)


def _allow(path: str) -> None:
    if _own(path):
        return
    module = path.rpartition(".")[0]
    top = module.partition(".")[0]
    if not _is_path(path) or top in sys.stdlib_module_names:
        raise ValueError(f"{path} is no class of yours, such as my_module.MyPrior")
    if not _places(module) and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last: a file of the user's stands in for no module of anybody else's
    for place in _places(module):
        if run := next((folder for folder in place.resolve().parents if _is_run(folder)), None):
            raise ValueError(f"{path} lies in the run's folder {run}: code from there is never run; move it elsewhere")
    set_parsing_settings(import_path_allowlist=[top])


def _is_run(folder: Path) -> bool:
    return (folder / "config.yaml").exists() and any((folder / name).exists() for name in _OF_A_RUN)


def _places(module: str) -> list[Path]:
    """The files and folders that importing a module would run or look into; found without running any."""
    found: list[Path] = []
    search: list[str] | None = None
    for part in module.split("."):
        # By the last name alone: with the whole one, a namespace package asks for its parent as if it were imported.
        spec: ModuleSpec | None = PathFinder.find_spec(part, search)
        if spec is None:
            return found if search is None else [*found, *(Path(place) / part for place in search)]
        search = list(spec.submodule_search_locations or ())
        found += [Path(place) / "__init__.py" for place in search]
        found += [Path(spec.origin)] if spec.has_location and spec.origin else []
    return found
