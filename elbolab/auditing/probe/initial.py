"""What an object of a class would hold, read from its `__init__` without running all of it."""

import ast
import builtins
import inspect
import textwrap
from types import FunctionType
from typing import Any

from elbolab.auditing.probe.names import END, is_counter, number_for
from elbolab.auditing.probe.standins import Standin


def initial(kind: type) -> dict[str, Any]:
    """The numbers, losses and learned scalars that `__init__` gives an object, read without running the rest of it."""
    found: dict[str, Any] = {}
    passed: dict[str, Any] = {}
    for base in kind.__mro__:
        method = vars(base).get("__init__")
        if isinstance(method, FunctionType):
            own, passed = _initialised(method, passed)
            found = {**own, **found}
    for name in dir(kind):
        value = inspect.getattr_static(kind, name, None)
        if type(value) is int and value in (0, 1) and is_counter(name):
            found[name] = END
    return found


def _initialised(method: FunctionType, passed: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a constructor gives to self, and what it passes on to that of its base."""
    found: dict[str, Any] = {}
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(method))).body[0]
    except (OSError, TypeError, SyntaxError):
        return found, {}
    parameters = inspect.signature(method).parameters.values()
    on: dict[str, Any] = {}
    known = {p.name: p.default for p in parameters if p.default is not p.empty} | passed
    open_names = [p.name for p in parameters if p.default is p.empty and p.name not in passed]
    known |= {name: number for name in open_names if (number := number_for(name)) is not None}
    for node in ast.walk(body):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target = node.targets[0]
        if _is_self(target):
            name = target.attr  # type: ignore[attr-defined]
            if _sigmoid_last(node.value):
                found[name] = Standin(name, "probs")
            elif _simple(node.value):
                try:
                    value = eval(  # noqa: S307 the user's own expression, of constants and torch alone
                        compile(ast.Expression(node.value), "<init>", "eval"), method.__globals__, dict(known)
                    )
                except Exception:  # what it needs is not known here: it is asked for by name when the loss does
                    continue
                counter = is_counter(name) and type(value) is int and value in (0, 1)
                found[name] = END if counter else value
    for node in ast.walk(body):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("__init__"):
            on |= {k.arg: k.value.value for k in node.keywords if k.arg and isinstance(k.value, ast.Constant)}
    return found, on


def _is_self(target: ast.AST) -> bool:
    return isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self"


_PURE = {"torch", "nn", "math", "np", "numpy", "F"}


def _simple(value: ast.AST) -> bool:
    """Constants, names, arithmetic, and calls of torch that make tensors or losses, not layers."""
    for node in ast.walk(value):
        if isinstance(node, ast.Call):
            path = ast.unparse(node.func).split(".")
            last = path[-1]
            if len(path) == 1 and hasattr(builtins, last) and last not in ("open", "exec", "eval", "input"):
                continue
            if last.endswith("Loss") or last == "Parameter":
                continue
            if last in ("Tensor", "FloatTensor"):
                continue
            if path[0] not in _PURE or last[:1].isupper() or "load" in last or "hub" in path:
                return False
        elif isinstance(node, (ast.Await, ast.Yield, ast.NamedExpr, ast.ListComp, ast.GeneratorExp)):
            return False
    return True


def _sigmoid_last(value: ast.AST) -> bool:
    return (
        isinstance(value, ast.Call)
        and ast.unparse(value.func).endswith("Sequential")
        and bool(value.args)
        and ast.unparse(value.args[-1]).endswith("Sigmoid()")
    )
