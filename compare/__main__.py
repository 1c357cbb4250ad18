"""python -m compare COMMAND."""

import sys
from pathlib import Path

from compare.auditing.command import audit_command
from compare.losses import losses
from compare.prove import prove
from training import ExperimentParser, Parser

COMMANDS = {"losses": losses, "audit": audit_command, "prove": prove}


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="python -m compare", description="The evidence that BCE + KL is the ELBO.")
    commands = parser.add_subcommands(dest="command")
    for name, command in (("losses", _losses()), ("audit", _audit()), ("prove", _prove())):
        commands.add_subcommand(name, command, help=COMMANDS[name].__doc__.splitlines()[0])
    options = parser.parse_args(argv)
    chosen = parser.instantiate(options)[options.command]
    return COMMANDS[options.command](**{name: value for name, value in chosen.items() if name != "config"})


def _losses() -> Parser:
    command = ExperimentParser()
    command.add_argument("run", type=Path | None, nargs="?", help="the folder of a run; else a fresh model")
    command.add_function_arguments(losses, skip={"run"})
    return command


def _prove() -> Parser:
    command = Parser()
    command.add_argument("--latex", action="store_true", help="print formulas in LaTeX")
    command.add_function_arguments(prove, skip={"latex"})
    return command


def _audit() -> Parser:
    command = Parser()
    command.add_argument("target", type=str, help="the loss, as FILE.py:FUNCTION")
    command.add_argument("--roles", nargs="+", type=str, help="one per positional argument, such as probs x mu logvar")
    command.add_function_arguments(audit_command, skip={"target", "roles"})
    return command


if __name__ == "__main__":
    sys.exit(main())
