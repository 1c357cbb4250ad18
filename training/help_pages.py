"""`--help` as a page that can be read: groups, the common options first, names in the place of types."""

import argparse
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from training.catalogue import INERT

_WIDTH, _COLUMN = 110, 30


def page(
    parser: argparse.ArgumentParser, groups: Mapping[str, tuple[str, ...]], choices: Mapping[str, tuple[type, ...]]
) -> str:
    """The help of a parser.

    Args:
        parser: whose options are described.
        groups: titles, and the options below them; others come last.
        choices: the classes that options offer.
    """
    options = {a.dest: a for a in parser._actions if _shown(a)}
    lines = [f"usage: {parser.prog} {_positional(parser)}[--OPTION VALUE ...]", ""]
    lines += [*textwrap.wrap(parser.description or "", _WIDTH), ""] if parser.description else []
    placed = {name for names in groups.values() for name in names}
    rest = tuple(name for name in options if name not in placed)
    for title, names in [*groups.items(), ("others" if groups else "options", rest)]:
        found = [options[name] for name in names if name in options]
        if found:
            lines += [f"{title}:", *(line for action in found for line in _described(action, choices)), ""]
    subcommands = getattr(parser, "_subcommands_action", None)
    lines += (
        [f"commands, each with a --help of its own: {parser.prog} {_positional(parser)}COMMAND"] if subcommands else []
    )
    for name, command in (subcommands.choices if subcommands else {}).items():
        lines += [f"  {name:<{_COLUMN - 2}}{subcommands_help(subcommands, name) or command.description or ''}".rstrip()]
    if parser.epilog:
        lines += ["", *textwrap.wrap(parser.epilog, _WIDTH)]
    named = [name for name in choices if name in options]
    if named:
        lines += [f"--list says in a line what every NAME is; --{named[0]}.help NAME which options it has itself."]
    return "\n".join(lines).rstrip() + "\n"


def subcommands_help(subcommands: Any, name: str) -> str:
    """What a command says of itself in one line."""
    return next((str(a.help) for a in subcommands._choices_actions if a.dest == name and a.help), "")


def _shown(action: argparse.Action) -> bool:
    name = action.dest.rsplit(".", 1)[-1]
    if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction) or name in INERT:
        return False
    return not any(option.endswith(".help") for option in action.option_strings)


def _positional(parser: argparse.ArgumentParser) -> str:
    names = [a.dest for a in parser._actions if not a.option_strings and _shown(a)]
    return "".join(f"{name.upper()} " for name in names)


def _described(action: argparse.Action, choices: Mapping[str, tuple[type, ...]]) -> Iterator[str]:
    names = choices.get(action.dest, ())
    option = action.option_strings[0] if action.option_strings else action.dest.upper()
    text = " ".join(str(action.help or "").split()).replace("%(default)s", "").rstrip()
    if names:
        text = f"{text} One of {', '.join(cls.__name__ for cls in names)}."
    default = _default(action)
    text += f" [{default}]" if default else ""
    head = f"  {option} {_value(action, bool(names))}".rstrip()
    body = textwrap.wrap(text, _WIDTH - _COLUMN) or [""]
    if len(head) >= _COLUMN:
        yield head
    else:
        yield f"{head:<{_COLUMN}}{body.pop(0)}".rstrip()
    for line in body:
        yield " " * _COLUMN + line


def _value(action: argparse.Action, is_part: bool) -> str:
    """What stands in the place of a value: never a type."""
    if not action.option_strings or action.nargs == 0:
        return ""
    if is_part:
        return "NAME"
    given = getattr(action, "_typehint", None)
    literals = getattr(given, "__args__", ()) if "Literal" in str(given) else ()
    if literals and all(isinstance(value, str) for value in literals):
        return "|".join(literals)
    words = {"int": "N", "float": "X", "str": "TEXT", "Path": "PATH", "bool": "true|false"}
    return words.get(getattr(given, "__name__", ""), action.dest.rsplit(".", 1)[-1].upper())


def _default(action: argparse.Action) -> str:
    value = action.default
    if isinstance(value, dict):
        value = value.get("class_path", "").rsplit(".", 1)[-1]
    if value in (None, False, "", argparse.SUPPRESS) or callable(value) or not action.option_strings:
        return ""
    return str(value)
