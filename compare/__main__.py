"""python -m compare COMMAND."""

import signal
import sys

if __name__ == "__main__":  # the imports take seconds: who stops the program meanwhile gets no traceback
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

from collections.abc import Callable
from pathlib import Path

from elbolab.__main__ import main as elbolab_command
from training import ExperimentParser, Parser, answered, refuse_mistakes

# What a command needs is imported when it is asked for: SymPy and the tracer take seconds that `losses` need not spend.
Command = Callable[..., int]


def _losses() -> tuple[Command, Parser]:
    from compare.losses.command import losses

    parser = ExperimentParser()
    parser.add_argument("run", type=Path | None, nargs="?", help="the folder of a run; else a fresh model")
    parser.add_argument("--trust-code", action="store_true", help="let files name classes of other programs")
    parser.add_function_arguments(losses, skip={"run", "trust_code"})
    return losses, parser


def _prove() -> tuple[Command, Parser]:
    from compare.prove.command import prove

    parser = Parser()
    parser.add_argument("--latex", action="store_true", help="print formulas in LaTeX")
    parser.add_function_arguments(prove, skip={"latex"})
    return prove, parser


def _gradients() -> tuple[Command, Parser]:
    from compare.gradients.command import gradients

    parser = ExperimentParser()
    parser.add_argument("run", type=Path | None, nargs="?", help="the folder of a run; else a short training here")
    parser.add_argument("--report", action="store_true", help="also write report.html, to be looked at in a browser")
    parser.add_argument("--trust-code", action="store_true", help="let files name classes of other programs")
    parser.add_function_arguments(gradients, skip={"run", "report", "trust_code"})
    parser.set_defaults(hidden=64)  # what is compared does not need the width, and a thousand gradients cost it
    return gradients, parser


def _speed() -> tuple[Command, Parser]:
    from compare.speed.command import speed

    parser = Parser()
    parser.add_function_arguments(speed)
    return speed, parser


COMMANDS = {"losses": _losses, "prove": _prove, "gradients": _gradients, "speed": _speed}


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["audit"]:  # the library's own command: it needs nothing of this project's
        return elbolab_command(argv)
    wanted = [name for name in COMMANDS if name in argv[:1]] or list(COMMANDS)
    built = {name: COMMANDS[name]() for name in wanted}
    parser = Parser(
        prog="python -m compare",
        description="The evidence that BCE + KL is the ELBO.",
        epilog="audit FILE.py:FUNCTION: which ELBO somebody's loss is; the same as python -m elbolab audit",
    )
    commands = parser.add_subcommands(dest="command")
    for name, (function, command) in built.items():
        commands.add_subcommand(name, command, help=function.__doc__.splitlines()[0])
    with answered():
        options = parser.parse_args(argv)
        with refuse_mistakes():
            chosen = parser.instantiate(options)[options.command]
        return built[options.command][0](**{name: value for name, value in chosen.items() if name != "config"})


if __name__ == "__main__":
    sys.exit(main())
