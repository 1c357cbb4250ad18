"""Reads a file, or a notebook, and keeps what defines something: nothing trains, prints or writes while it loads."""

import ast
import builtins
import json
from pathlib import Path

# Calls that make a value and do nothing else, by the first name of the path that leads to them.
_PURE = {"torch", "nn", "F", "math", "np", "numpy", "argparse", "functools", "collections", "dataclasses", "typing"}
_PURE |= {"namedtuple", "partial", "ArgumentParser", "Path", "pathlib", "defaultdict", "OrderedDict", "TypeVar"}
_NOT_PURE = {"save", "load", "manual_seed", "hub", "set_default_dtype", "savetxt", "loadtxt", "save_image", "fromfile"}
_BUILTINS = set(dir(builtins)) - {"open", "exec", "eval", "input", "print", "exit", "quit", "breakpoint", "compile"}
_OF_A_PARSER = {"add_argument", "add_argument_group", "set_defaults", "add_mutually_exclusive_group"}


def source_of(path: Path) -> str:
    """The Python in a file; of a notebook, that of its code cells.

    Raises:
        ValueError: it cannot be read, or is no notebook.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    if path.suffix != ".ipynb":
        return text
    try:
        cells = json.loads(text)["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"cannot read {path}: it is no notebook ({error})") from error
    # Each cell that Python cannot read alone (%%bash) is left out, and each line that is for the notebook.
    return "\n\n".join(cell for cell in map(_without_magics, code) if _is_python(cell))


def _without_magics(cell: str) -> str:
    if cell.lstrip().startswith("%%"):
        return ""
    lines = cell.splitlines()
    return "\n".join("pass" if line.lstrip().startswith(("%", "!", "?")) else line for line in lines)


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def definitions(tree: ast.Module) -> tuple[ast.Module, dict[str, ast.expr]]:
    """The statements that define something, and what else is assigned, by name, which is not run.

    Raises:
        ValueError: the file puts something of its own in PyTorch's place, which would not be run either.
    """
    if changed := _changes_torch(tree):
        raise ValueError(f"the file changes {changed} when it runs: what its losses are then is not known")
    left: dict[str, ast.expr] = {}
    parsers: set[str] = set()
    for node in tree.body:  # a function that parses is called as a parser is
        if isinstance(node, ast.FunctionDef) and "ArgumentParser(" in ast.unparse(node) and len(node.body) < 60:
            parsers.add(node.name)
    body = _kept(tree.body, left, parsers)
    return ast.Module(body=body, type_ignores=[]), left


def _changes_torch(tree: ast.Module) -> str:
    """A function of PyTorch that the file's top level replaces, as `F.binary_cross_entropy = mine` does."""
    names = {
        alias.asname or alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
        if f"{getattr(node, 'module', None) or alias.name}.".startswith("torch.")
    }
    for node in tree.body:
        assigned = node.targets if isinstance(node, ast.Assign) else []
        targets: list[ast.expr] = [t for t in assigned if isinstance(t, ast.Attribute)]
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and ast.unparse(node.value.func) == "setattr"
        ):
            targets = node.value.args[:1]
        for path in (ast.unparse(target).split(".") for target in targets):
            if path[0] in names and "backends" not in path:
                return ".".join(path)
    return ""


def _kept(statements: list[ast.stmt], left: dict[str, ast.expr], parsers: set[str]) -> list[ast.stmt]:
    kept: list[ast.stmt] = []
    for statement in statements:
        if isinstance(statement, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            kept.append(statement)
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            kept += _assignment(statement, left, parsers)
        elif isinstance(statement, ast.Expr):
            kept += [statement] if _of_a_parser(statement.value, parsers) else []
        elif isinstance(statement, ast.Try):
            kept.append(_tried(statement, left, parsers))
        elif isinstance(statement, ast.If):
            kept += _conditional(statement, left, parsers)
    return kept


def _assignment(statement: ast.Assign | ast.AnnAssign, left: dict[str, ast.expr], parsers: set[str]) -> list[ast.stmt]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    value = statement.value
    if value is None:
        return [statement]
    if not all(isinstance(target, (ast.Name, ast.Tuple)) for target in targets):
        return []
    if pure(value, parsers):
        if "ArgumentParser" in ast.unparse(value) or _of_a_parser(value, parsers):
            parsers.update(names)
        # A constant whose parts were left out is left out too, when it comes to it.
        return [_guarded(statement, names)]
    left.update(dict.fromkeys(names, value))
    return []


def _guarded(statement: ast.stmt, names: list[str]) -> ast.stmt:
    """try: the assignment; except Exception: nothing. The names then stand in."""
    # A parser of required arguments leaves the program.
    caught = ast.Tuple([ast.Name("Exception", ast.Load()), ast.Name("SystemExit", ast.Load())], ast.Load())
    passing = ast.ExceptHandler(caught, None, [ast.Pass()])
    guarded = ast.Try([statement], [passing], [], [])
    return ast.fix_missing_locations(ast.copy_location(guarded, statement))


def pure(value: ast.expr, parsers: set[str] | None = None) -> bool:
    """Does an expression do nothing but make a value?"""
    if isinstance(value, ast.Lambda):
        return True
    for node in ast.walk(value):
        if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom)):
            return False
        if isinstance(node, ast.Call) and not _pure_call(node, parsers or set()):
            return False
    return True


def _pure_call(call: ast.Call, parsers: set[str]) -> bool:
    of_text = isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Constant)
    if of_text or _of_a_parser(call, parsers):
        return True
    path = ast.unparse(call.func).split("(")[0].split(".")
    if len(path) == 1 and path[0] in (_BUILTINS | parsers):
        return True
    if path[0] in parsers and path[-1] in ("parse_args", "parse_known_args"):
        return True
    layers = path[0] in ("nn", "torch") and path[-1][:1].isupper() and not path[-1].endswith("Loss")
    layers = layers and path[-1] not in ("Tensor", "FloatTensor", "Parameter", "Size", "Generator")
    return path[0] in _PURE and not set(path) & _NOT_PURE and not layers


def _of_a_parser(value: ast.expr, parsers: set[str]) -> bool:
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Attribute):
        return False
    return value.func.attr in _OF_A_PARSER and ast.unparse(value.func.value) in parsers


def _tried(statement: ast.Try, left: dict[str, ast.expr], parsers: set[str]) -> ast.stmt:
    """try: import x; except ImportError: x = None."""

    def inside(statements: list[ast.stmt]) -> list[ast.stmt]:
        return _kept(statements, left, parsers) or [ast.Pass()]

    handlers = [ast.ExceptHandler(h.type, h.name, inside(h.body)) for h in statement.handlers]
    kept = ast.Try(inside(statement.body), handlers, _kept(statement.orelse, left, parsers), [])
    if not handlers:
        kept.finalbody = [ast.Pass()]
    return ast.fix_missing_locations(ast.copy_location(kept, statement))


def _conditional(statement: ast.If, left: dict[str, ast.expr], parsers: set[str]) -> list[ast.stmt]:
    """Definitions under a condition that is pure; what the file does when it is run as a program is not run."""
    if "__name__" in ast.unparse(statement.test) or not pure(statement.test):
        return []
    body, orelse = _kept(statement.body, left, parsers), _kept(statement.orelse, left, parsers)
    if not body and not orelse:
        return []
    kept = ast.If(statement.test, body or [ast.Pass()], orelse)
    return [_guarded(ast.copy_location(kept, statement), [])]
