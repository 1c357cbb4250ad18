"""python -m compare COMMAND."""

import sys
from pathlib import Path

from compare.losses import losses
from training import ExperimentParser, Parser

COMMANDS = {"losses": losses}


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="python -m compare", description="The evidence that BCE + KL is the ELBO.")
    commands = parser.add_subcommands(dest="command")
    for name, function in COMMANDS.items():
        command = ExperimentParser()
        command.add_argument("run", type=Path | None, nargs="?", help="the folder of a run; else a fresh model")
        command.add_function_arguments(function, skip={"run"})
        commands.add_subcommand(name, command, help=function.__doc__.splitlines()[0])
    options = parser.parse_args(argv)
    chosen = parser.instantiate(options)[options.command]
    return COMMANDS[options.command](**{name: value for name, value in chosen.items() if name != "config"})


if __name__ == "__main__":
    sys.exit(main())
