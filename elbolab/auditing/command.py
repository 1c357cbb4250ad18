"""`elbolab audit FILE.py:FUNCTION`: loads somebody's loss, audits it, prints the verdict."""

import argparse
import ast
import importlib.util
import sys
from collections.abc import Callable
from json import dumps
from operator import attrgetter
from pathlib import Path
from typing import Any

from elbolab.auditing.audit import audit
from elbolab.auditing.probe.roles import SLOT_OF
from elbolab.auditing.report.verdict import Verdict


def main(argv: list[str], page: Callable[[Verdict, str], str]) -> int:
    """Says which ELBO a loss is, if any; 0 when it is one, 1 when it is not, 2 when it cannot be probed.

    `page` makes the page that --report writes, of the verdict and the loss's name.
    """
    description = (main.__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="elbolab audit", description=description)
    parser.add_argument("target", help="the loss, as FILE.py:FUNCTION")
    parser.add_argument(
        "--roles",
        nargs="+",
        metavar="ROLE",
        help="one per positional argument: x, logits, probs, mean, mu, logvar, logstd, std, var, z, eps, or a value",
    )
    parser.add_argument(
        "--reparameterize",
        metavar="NAME",
        help="also check this sampler, a function of (mu, s): a name in the same file, or FILE.py:FUNCTION",
    )
    parser.add_argument("--output", help="the index or key of the loss in what the function returns")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write a page on the verdict, to be looked at")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the verdict to this file")
    options = parser.parse_args(argv)
    if options.json and not options.json.absolute().parent.is_dir():
        parser.exit(2, f"error: --json {options.json}: there is no folder {options.json.parent}\n")
    try:
        verdict = _verdict(options.target, options.roles, options.reparameterize, options.output)
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    print(verdict)
    if options.json:
        options.json.write_text(dumps(verdict.to_dict(), indent=2) + "\n")
    if options.report:
        options.report.write_text(page(verdict, options.target), encoding="utf-8")
        print(f"report: {options.report}")
    return 0 if verdict.is_elbo else 1


def _verdict(target: str, roles: list[str] | None, reparameterize: str | None, output: str | None) -> Verdict:
    loss = load(target)
    sampler = load(_beside(reparameterize, target)) if reparameterize else None
    verdict = audit(loss, [_role(r) for r in roles] if roles else None, sampler, _key(output), algebra=True)
    if verdict.kind == "raises":
        raise ValueError(f"{target} raises for every probe: {'; '.join(verdict.notes)}")
    return verdict


def load(target: str) -> Callable[..., Any]:
    """The function that FILE.py:FUNCTION names; FUNCTION may be Class.method.

    Raises:
        ValueError: the target is not of that form, the file cannot be imported, or it has no such function.
    """
    file, _, name = target.rpartition(":")
    if not file or not name:
        raise ValueError(f"{target}: say which function of which file, as FILE.py:FUNCTION")
    path = Path(file)
    if not path.is_file():
        raise ValueError(f"cannot import {file}: there is no such file")
    module = _imported(path)
    try:
        function = attrgetter(name)(module)
    except AttributeError:
        function = None
    if not callable(function):
        there = [n for n, f in vars(module).items() if callable(f) and getattr(f, "__module__", "") == module.__name__]
        raise ValueError(f"{file} has no function {name}; there are: {', '.join(there) or 'none'}")
    return function


def _imported(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"audited_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"cannot import {path}: it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # for what stands beside it
    sys.modules[spec.name] = module  # for dataclasses, which look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(f"cannot import {path}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def _beside(name: str, target: str) -> str:
    return name if ":" in name else f"{target.rpartition(':')[0]}:{name}"


def _role(text: str) -> Any:
    """A role, or the value that stands in its place."""
    if text in SLOT_OF:
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _key(output: str | None) -> str | int | None:
    return int(output) if output and output.lstrip("-").isdigit() else output
