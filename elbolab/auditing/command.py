"""`elbolab audit FILE.py:FUNCTION`: loads somebody's loss and prints the verdict; of a folder, a line for each."""

import argparse
import ast
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from json import dumps
from pathlib import Path
from typing import Any

from elbolab.auditing.audit import audit
from elbolab.auditing.kinds import Kind
from elbolab.auditing.loading.modules import Loaded, loaded
from elbolab.auditing.loading.packages import needs_torch
from elbolab.auditing.loading.search import candidates, files, framework, named
from elbolab.auditing.probe.guard import LIMIT
from elbolab.auditing.probe.names import SLOT_OF
from elbolab.auditing.report.fix import fixed
from elbolab.auditing.report.verdict import Verdict

_ROLES = "x, logits, probs, mean, mu, logvar, logstd, std, var, z, eps"


def main(argv: list[str], page: Callable[[Verdict, str], str]) -> int:
    """Says which ELBO a loss is, if any; 0 when it is one, 1 when it is not, 2 when it cannot be probed.

    `page` makes the page that --report writes, of the verdict and the loss's name.
    """
    options = _parser().parse_intermixed_args(argv)
    path = Path(options.target)
    if options.json and not options.json.absolute().parent.is_dir():
        _parser().exit(2, f"error: --json {options.json}: there is no folder {options.json.parent}\n")
    try:
        if path.is_dir() or (path.suffix in (".py", ".ipynb") and path.is_file()):
            return _listed(path, options)
        verdict = _verdict(options)
    except ValueError as error:
        _parser().exit(2, f"error: {error}\n")
    print(verdict)
    if options.fix and (code := fixed(verdict)):
        print("\n".join(f"  instead         {line}" for line in code.splitlines()))
    if options.json:
        options.json.write_text(dumps(verdict.to_dict(), indent=2) + "\n")
    if options.report:
        options.report.write_text(page(verdict, options.target), encoding="utf-8")
        print(f"report: {options.report}")
    return 0 if verdict.is_elbo else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="elbolab audit", description=(main.__doc__ or "").splitlines()[0])
    parser.add_argument("target", help="FILE.py:FUNCTION or FILE.py:Class.method, or a folder to look through")
    parser.add_argument(
        "values", nargs="*", metavar="NAME=VALUE", help="an argument that is no tensor, or an attribute: beta=4"
    )
    parser.add_argument("--roles", nargs="+", metavar="ROLE", help=f"one per positional argument: {_ROLES}, or a value")
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="x=3x32x32",
        help="the shape of a datum, x, or of its latents, z, without the batch",
    )
    parser.add_argument(
        "--reparameterize",
        metavar="NAME",
        help="also check this sampler, a function or method of (mu, s): in the same file, or FILE.py:FUNCTION",
    )
    parser.add_argument("--output", help="the index or key of the loss in what the function returns")
    parser.add_argument("--algebra", action="store_true", help="also say the difference to the ELBO in closed form")
    parser.add_argument("--fix", action="store_true", help="also print a last line that is the ELBO")
    parser.add_argument("--time-limit", type=float, default=LIMIT, metavar="S", help="seconds for one loss")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write a page on the verdict, to be looked at")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the verdict to this file")
    return parser


def _verdict(options: argparse.Namespace) -> Verdict:
    file, name = _split(options.target)
    values = dict(map(_stated, options.values))
    roles, stray = _roles(options.roles)
    shapes = _shapes(options.shape)
    with ExitStack() as stack:
        module = stack.enter_context(loaded(Path(file)))
        loss = named(module, name, file)
        if (other := framework(module.tree, name)) and other != "NumPy":
            raise ValueError(f"{options.target}: {needs_torch(other)}")
        sampler = None
        if options.reparameterize:
            beside, _, of = options.reparameterize.rpartition(":")
            there = stack.enter_context(loaded(Path(beside))) if beside else module
            sampler = named(there, of, beside or file)
        verdict = audit(
            loss,
            roles,
            sampler,
            _key(options.output),
            shapes=shapes,
            algebra=options.algebra or bool(options.report),
            time_limit=options.time_limit,
            **{**stray, **values},
        )
    if verdict.kind is Kind.RAISES:
        if other:
            raise ValueError(f"{options.target}: {needs_torch(other)}")
        said = "; ".join(verdict.notes)
        why = "raises for every probe" if re.match(r"[A-Z]\w+: ", said) else "cannot be probed"
        raise ValueError(f"{options.target} {why}: {said}")
    return _with_absent(verdict, module)


def _with_absent(verdict: Verdict, module: Loaded) -> Verdict:
    if not module.absent:
        return verdict
    note = f"not installed, and not needed by this loss: {', '.join(module.absent)}"
    return replace(verdict, notes=(*verdict.notes, note))


def _listed(path: Path, options: argparse.Namespace) -> int:
    """A line for every function below a folder, or in a file, that looks like a loss of a VAE."""
    codes = []
    for file in files(path) if path.is_dir() else [path]:
        for name in candidates(file):
            options.target = f"{file}:{name}"
            try:
                verdict = _verdict(options)
                line, code = _short(verdict), 0 if verdict.is_elbo else 1
            except ValueError as error:
                line, code = str(error).removeprefix(options.target).strip(": "), 2
            print(f"{options.target}\n  {line}")
            codes.append(code)
    if not codes:
        raise ValueError(f"{path} has no function that looks like the loss of a VAE; name one, as FILE.py:FUNCTION")
    # What is wrong counts; what cannot be probed counts where nothing can.
    return 1 if 1 in codes else 0 if 0 in codes else 2


def _short(verdict: Verdict) -> str:
    said = [f"{name} = {verdict.reductions[name]}" for name in ("beta", "sigma2") if name in verdict.reductions]
    return f"{verdict.kind}: {verdict.kind.meaning}" + (f" ({', '.join(said)})" if said else "")


def _split(target: str) -> tuple[str, str]:
    file, _, name = target.rpartition(":")
    if not file or not name:
        raise ValueError(f"{target}: say which function of which file, as FILE.py:FUNCTION")
    return file, name


def _roles(texts: list[str] | None) -> tuple[list[Any] | None, dict[str, Any]]:
    """The roles, and what stands as NAME=VALUE among them."""
    if not texts:
        return None, {}
    stray = dict(map(_stated, (text for text in texts if _is_stated(text) and not text.startswith("{"))))
    return [_role(text) for text in texts if not _is_stated(text)], stray


def _is_stated(text: str) -> bool:
    return bool(re.match(r"[A-Za-z_][\w.]*=", text))


def _stated(text: str) -> tuple[str, Any]:
    if not _is_stated(text):
        raise ValueError(f"{text}: say what is no tensor as NAME=VALUE")
    name, _, value = text.partition("=")
    return name.removeprefix("self."), _literal(value)


def _shapes(texts: list[str]) -> dict[str, tuple[int, ...]]:
    """Those of x and z; mu's are z's, and those of the decoder's output follow from x."""
    found = {}
    for text in texts:
        said = re.fullmatch(r"(x|z|mu|logvar|head|logits|probs|mean|output)=(\d+(?:[x,]\d+)*)", text)
        if not said:
            raise ValueError(f"--shape {text}: say x=3x32x32 for data, z=128 for latents")
        slot = {"x": "x"}.get(said[1], "z" if said[1] in ("z", "mu", "logvar", "head") else "")
        if slot:
            found[slot] = tuple(map(int, re.split("[x,]", said[2])))
    return found


def _role(text: str) -> Any:
    """A role, several in brackets, or the value that stands in its place."""
    if text in SLOT_OF or text in ("mask", "pad"):
        return text
    if text[:1] == "{" and text[-1:] == "}":
        pairs = (part.partition(":") for part in text[1:-1].split(","))
        return {name.strip(): _role(role.strip()) for name, _, role in pairs}
    if text[:1] in "([" and text[-1:] in ")]":
        return tuple(_role(part.strip()) for part in text[1:-1].split(",") if part.strip())
    return _literal(text)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _key(output: str | None) -> str | int | None:
    return int(output) if output and output.lstrip("-").isdigit() else output
