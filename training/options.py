"""The command line and YAML files: `jsonargparse` reads signatures; here is only what its errors leave out."""

import argparse
import difflib
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

import jsonargparse
from torch.optim.lr_scheduler import LRScheduler

from training import help_pages, trust
from training.catalogue import INERT

_LONGEST = 600  # letters of a message
# What a type is called where a value is none of it.
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "list": "a list"} | {
    "tuple": "a list",
    "Path": "a path",
}


class Parser(jsonargparse.ArgumentParser):
    """`--config FILE`, `--print_config`, and errors that say which names and options exist.

    `choices` maps an option to the classes that it offers. It belongs to the class, because jsonargparse makes parsers
    of the same class for the options of a part.
    """

    choices: Mapping[str, tuple[type, ...]] = MappingProxyType({})
    _given: Sequence[str] = ()
    groups_of_options: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.add_argument("--config", action="config", help="a YAML file with any of the options below")

    def parse_args(self, args: Sequence[str] | None = None, *more: Any, **settings: Any) -> jsonargparse.Namespace:
        """As everywhere; what is named to be imported is looked at before anything is."""
        self._given = [str(argument) for argument in (sys.argv[1:] if args is None else args)]
        try:
            trust.command_line(self._given)
        except ValueError as error:
            self.error(str(error))
        try:
            return super().parse_args(args, *more, **settings)
        except UnicodeDecodeError as error:
            self.error(f"--config takes a YAML file, and what is given is no text: {error.reason}")

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Prints one message and leaves with 2."""
        if not self.exit_on_error:  # a part's own parser: the one above knows the option's name
            super().error(message, ex)
        self.exit(2, f"error: {_one_line(_wrong_value(message) or self._explained(_plain(message)))}\n")

    def format_help(self) -> str:
        """Every option in a line: those that a class's own parser has, or in the groups that this class names."""
        return help_pages.page(self, self.groups_of_options, self.choices)

    def instantiate(self, *arguments: Any, **settings: Any) -> Any:
        """Builds the classes that were chosen; what one refuses is said in its own words."""
        try:
            return super().instantiate(*arguments, **settings)
        except (ValueError, TypeError) as error:
            raise type(error)(_plain(str(error))) from error

    def _explained(self, message: str) -> str:
        if unknown := re.search(r"unrecognized arguments: --([\w.]+)", message):
            own = [a.dest for a in self._actions if a.option_strings and a.help != argparse.SUPPRESS]
            return f"there is no option --{unknown[1]}; {_named(unknown[1], own, '--')}"
        if refused := re.search(r"argument command: invalid choice: '(.*)' \(choose from (.*)\)", message):
            # The value of an option that there is not is taken for a command.
            at = self._given.index(refused[1]) if refused[1] in self._given else 0
            if at and self._given[at - 1].startswith("--"):
                return self._explained(f"unrecognized arguments: {self._given[at - 1]}")
            commands = re.findall(r"'([^']+)'", refused[2])
            return f"there is no command {refused[1]}; {_named(refused[1], commands)}"
        option = re.search(r'arser key "(\w+)', message)
        classes = {cls.__name__: cls for cls in self.choices.get(option[1], ())} if option else {}
        if not classes:
            return message
        refused, owner = re.search(r"Option '(\w+)' is not", message), re.search(r"class_path\W+[\w.]*?(\w+)'", message)
        if refused and owner and owner[1] in classes:
            accepted = _keywords(classes[owner[1]])
            return f"{owner[1]} takes no option {refused[1]}; {_named(refused[1], accepted)}"
        if needed := re.search(r"the following arguments are required: (\w+)", message):
            return f"--{option[1]} needs --{option[1]}.{needed[1]} too; {_named('', list(classes))}"
        if refused := re.search(r"import path string: (\w+)$", message, re.MULTILINE) if " key" in message else None:
            return f"--{option[1]}: there is no {refused[1]}; {_named(refused[1], list(classes))}"
        return f"{message}\nsee --{option[1]}.help NAME, NAME one of: {', '.join(classes)}"


def _one_line(message: str) -> str:
    """As it is said in a terminal: jsonargparse indents one reason below the other."""
    line = re.sub(r"\s*\n\s*", " ", message).strip()
    return line if len(line) <= _LONGEST else line[: _LONGEST - 4].rsplit(" ", 1)[0] + " ..."


def _wrong_value(message: str) -> str | None:
    """Of a value of another type, the option's whole name, what was given and what serves; else None."""
    keys = list(re.finditer(r'Parser key "([\w.]+)"', message))
    reason = message[keys[-1].end() :] if keys else ""
    accepted = []
    for choices, kind in re.findall(r"Expected an? (?:typing\.Literal\[(.*?)\]|<class '(\w+)'>)", reason):
        accepted += re.findall(r"'(\w*)'", choices) if choices else [_KINDS[kind]] if kind in _KINDS else []
    given = re.search(r"(?:Given|Got) value: (.*?)(?:\. Got value: Namespace|\n|$)", reason)
    if not (accepted and given):
        return None
    option, value = ".".join(key[1] for key in keys), given[1].replace("None", "null") or "nothing"
    return f"--{option}: {value} is given, and it takes {_or(accepted)}"


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _plain(message: str) -> str:
    """Of an option that may be left out, what is wrong with it, and not that it is not None either."""
    pattern = r"\s*Does not validate against any of the Union.*?Errors:\s*- (.*?)\n\s*- Expected a <class 'NoneType'>.*"
    found = re.search(pattern, message, re.DOTALL)
    return (message[: found.start()] + " " + found[1]).strip() if found else message


def _keywords(cls: type) -> list[str]:
    """What a class takes by name, with what it hands on to those that it is made from."""
    found: dict[str, None] = {}
    for part in cls.__mro__:
        parameters = inspect.signature(part.__init__).parameters.values() if "__init__" in vars(part) else ()
        found |= {
            p.name: None for p in parameters if p.name not in INERT and (p.default is not p.empty or _asked(cls, p))
        }
        if parameters and all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return list(found)


def _asked(cls: type, parameter: inspect.Parameter) -> bool:
    """Whether an argument without a default is the user's to give: of the other parts, the program gives them."""
    return issubclass(cls, LRScheduler) and parameter.name not in ("self", "optimizer")


def _named(given: str, names: list[str], prefix: str = "") -> str:
    """What exists, with the one that was probably meant first."""
    if not names:
        return "it takes none"
    near = difflib.get_close_matches(given, names, n=1)
    return (f"did you mean {prefix}{near[0]}? " if near else "") + f"There are: {prefix}{f', {prefix}'.join(names)}"
