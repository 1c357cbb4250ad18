"""The code of somebody's function."""

import ast
import inspect
import textwrap
from typing import Any


def underlying(function: Any) -> Any:
    """The function that a wrapper, a method or a module calls in the end."""
    function = inspect.unwrap(function) if callable(function) else function
    function = getattr(function, "__func__", getattr(function, "forward", function))
    return getattr(function, "__func__", function)


def body_of(function: Any) -> ast.AST | None:
    """The function's own source, where there is one."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
