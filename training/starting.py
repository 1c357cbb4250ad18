"""Of which run a command line speaks: its folder, what is known before the options are read, what they say in full."""

import argparse
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from training import catalogue
from training.experiment_options import ExperimentParser


def parser_of(train: Callable[..., int]) -> ExperimentParser:
    """The command line of train.py, with what its function takes."""
    parser = ExperimentParser(prog="train.py", description="Trains a VAE written as two Pyro programs.")
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/ and the names of its parts)")
    parser.add_argument("--overwrite", action="store_true", help="remove an earlier run from the folder first")
    parser.add_argument("--list", action=List, nargs=0, help="print all that the options below can name, and exit")
    parser.add_argument("--resume", action="store_true", help="go on from a checkpoint in the folder")
    parser.add_argument("--change", nargs="+", help="with --resume: NAME=VALUE from here on, such as optimizer.lr=3e-4")
    parser.add_argument("--trust-code", action="store_true", help="let files name classes that are not this program's")
    parser.add_function_arguments(train, skip={"folder", "processes", "interrupts", "resume"})
    parser.add_argument("--seeds", type=int, help="so many runs in turn: OUT/seed-0, OUT/seed-1, ... from --seed on")
    return parser


def early(argv: list[str]) -> Path | None:
    """The folder of a run that is to go on: what the other options mean is said by its configuration."""
    with suppress(argparse.ArgumentError):
        known, others = _first().parse_known_args(argv)
        return known.out if known.resume and not {"--help", "-h", "--list"} & set(others) else None
    return None


def changed(argv: list[str]) -> list[str]:
    """What --change says."""
    with suppress(argparse.ArgumentError):
        found: list[str] = _first().parse_known_args(argv)[0].change
        return found
    return []


def _first() -> argparse.ArgumentParser:
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--out", type=Path)
    first.add_argument("--resume", action="store_true")
    first.add_argument("--change", nargs="+", action="extend", default=[])
    return first


class List(argparse.Action):
    """Prints the catalogue and leaves, as --help does."""

    def __call__(self, parser, *arguments: object) -> None:  # noqa: ANN001
        print(catalogue.table())
        parser.exit()


def default_folder(options: Mapping[str, Any]) -> Path:
    """runs/Digits-StandardNormal-...: what the run is about, so that two different runs do not meet."""
    chosen = (options[part] for part in ("data", "prior", "likelihood", "guide", "elbo"))
    names = [part.class_path.rsplit(".", 1)[-1] for part in chosen if part]
    return Path("runs") / "-".join([*names, str(options.seed)])
