"""The same run with several seeds, one after the other: OUT/seed-0, OUT/seed-1, ..."""

import argparse
import json
import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from training import exits, history
from training.comparison.table import over_seeds
from training.exits import refuse
from training.experiment_options import ExperimentParser
from training.starting import default_folder

_CONFIG = "config.yaml"


def run(parser: ExperimentParser, argv: Sequence[str], one: Callable[[list[str]], int]) -> int:
    """Trains with every seed in its turn where --seeds asks for it, and returns the exit code.

    A run that diverges does not end the others, one that is stopped does. With --resume, those that were begun go on,
    and the others begin.

    Args:
        parser: of the whole command line.
        argv: the command line.
        one: trains what a command line says.
    """
    known, others = None, list(argv)
    with suppress(argparse.ArgumentError):  # the whole parser says what is wrong
        known, others = _own().parse_known_args(argv)
    if known is None or known.seeds is None or {"--help", "-h", "--list", "--print_config"} & set(others):
        return one(list(argv))
    with refuse(exits.CONFIGURATION, ValueError):
        if known.seeds < 1:
            raise ValueError(f"seeds = {known.seeds}: at least 1")
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:
            raise ValueError("--seeds is for one process; with torchrun, start every seed on its own")
        if "--resume" in others:
            out, first = _begun(known.out)
        else:
            options = parser.parse_args([*others, *(["--seed", str(known.seed)] if known.seed is not None else [])])
            out, first = known.out or options.out or default_folder(options), options.seed
    folders, codes = [out / f"seed-{seed}" for seed in range(first, first + known.seeds)], []
    for seed, folder in enumerate(folders, first):
        print(f"seed {seed}: {folder}")
        told = [*others, "--out", str(folder)]
        if "--resume" not in others:
            told += ["--seed", str(seed)]
        elif not (folder / _CONFIG).exists():  # it begins now, as those that were begun did
            told = ["--config", str(folders[0] / _CONFIG), *(word for word in told if word != "--resume")]
            told += ["--seed", str(seed)]
        codes.append(one(told))
        if codes[-1] not in (0, exits.NOT_FINITE):
            return codes[-1]
    print(summed_up(folders))
    return max(codes)


def summed_up(folders: Sequence[Path]) -> str:
    """The mean over runs of the score that each came to, with its standard error."""
    rows = [row for folder in folders if (row := _result(folder))]
    if not rows:
        return "no run came to an end"
    scores = [history.score(row) for row in rows]
    mean, error = over_seeds(scores)
    split = history.judged_on(rows[0])
    more = "" if math.isnan(error) else f", standard error {error:.2f}"
    return f"{len(scores)} seeds: {split} -ELBO {mean:.2f} nats per datum{more}"


def _result(folder: Path) -> history.Row | None:
    """The best epoch of a run where one may be chosen, else the last."""
    with suppress(OSError, ValueError):
        summary = json.loads((folder / "summary.json").read_text())
        found: history.Row = summary.get("best") or summary["train"]
        return found
    return None


def _begun(out: Path | None) -> tuple[Path, int]:
    """The folder of several seeds, and the first of them.

    Raises:
        ValueError: it holds none.
    """
    names = [path.parent.name for path in out.glob(f"seed-*/{_CONFIG}")] if out else []
    seeds = [int(name.removeprefix("seed-")) for name in names if name.removeprefix("seed-").isdigit()]
    if out is None or not seeds:
        raise ValueError(f"{out or '--out'} holds no runs of several seeds to go on with")
    return out, min(seeds)


def _own() -> argparse.ArgumentParser:
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    own.add_argument("--seeds", type=int)
    own.add_argument("--seed", type=int)
    own.add_argument("--out", type=Path)
    return own
