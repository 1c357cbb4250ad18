"""python -m experiments keep RUN..., python -m experiments write."""

import sys
from pathlib import Path

from experiments import kept, linear, pages
from training import Parser, answered, refuse_mistakes


def keep(runs: list[Path]) -> int:
    """Keeps what the summaries of runs say, as experiments/results/ROW-SEED.json.

    Args:
        runs: folders of runs that were trained with `--config experiments/ROW.yaml` and judged by evaluate.py.
    """
    with refuse_mistakes():
        for run in runs:
            print(kept.keep(run))
    return 0


def write() -> int:
    """Writes the tables and the picture of README and docs/results.md from what was kept."""
    for path in pages.write():
        print(path)
    return 0


def exact(run: Path) -> int:
    """Sets a run of linear networks and Gaussian noise beside probabilistic PCA, in its summary.

    Args:
        run: the run's folder.
    """
    with refuse_mistakes():
        print(linear.told(linear.judge(run)))
    return 0


COMMANDS = {"keep": keep, "write": write, "exact": exact}


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="python -m experiments", description="Published numbers beside ours.")
    commands = parser.add_subcommands(dest="command")
    for name, command in COMMANDS.items():
        own = Parser()
        if command is keep:
            own.add_argument("runs", type=Path, nargs="+", help="folders of runs that were trained and judged")
        own.add_function_arguments(command, as_positional=True, skip={"runs"})
        commands.add_subcommand(name, own, help=(command.__doc__ or "").splitlines()[0])
    with answered():
        options = parser.parse_args(argv)
        chosen = options[options.command]
        return COMMANDS[options.command](**{name: value for name, value in chosen.items() if name != "config"})


if __name__ == "__main__":
    sys.exit(main())
