"""Where programs can look: what containers, functions, modules and objects of theirs have in them."""

import sys
import types
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic, torch.dtype, torch.device, torch.Size)
CODE = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, staticmethod, classmethod, property, partial)
MOST = 20_000  # places
_FOREIGN = frozenset({"torch", "pyro", "numpy", "scipy", "opt_einsum", "jax", "pandas"}) | sys.stdlib_module_names
_OF_EVERY_MODULE = frozenset(vars(nn.Module())) - {"training"}


class Slots:
    """The slots of an object as a container."""

    def __init__(self, owner: Any, names: list[str]) -> None:
        self.owner, self.names = owner, names

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self.owner, name)
        except AttributeError as error:
            raise KeyError(name) from error


def contents(value: Any) -> Iterator[tuple[Any, Any]]:
    """Where else a program that has the value can look: containers, with the keys there."""
    if isinstance(value, types.MethodType):
        yield [value.__self__, value.__func__], range(2)
    elif isinstance(value, partial):
        yield [value.func, *value.args, *value.keywords.values()], range(1 + len(value.args) + len(value.keywords))
    elif isinstance(value, types.FunctionType):
        yield from _of_function(value)
    elif isinstance(value, staticmethod | classmethod):
        yield [value.__func__], range(1)
    elif isinstance(value, property):
        yield [value.fget], range(1)
    elif isinstance(value, list | tuple | deque) and len(value) <= MOST:
        yield value, range(len(value))
    elif isinstance(value, dict) and len(value) <= MOST:
        yield value, list(value)
    elif isinstance(value, nn.Module):
        yield vars(value), [key for key in vars(value) if key not in _OF_EVERY_MODULE]
        for name in ("_buffers", "_parameters", "_modules", "_forward_hooks", "_forward_pre_hooks"):
            yield vars(value)[name], list(vars(value)[name])
        yield from _of_class(type(value))
    elif hasattr(value, "__dict__") and not isinstance(value, type | types.ModuleType) and not _foreign(type(value)):
        yield vars(value), list(vars(value))
        yield from _slots(value)
        yield from _of_class(type(value))
    elif hasattr(type(value), "__slots__") and not isinstance(value, type) and not _foreign(type(value)):
        yield from _slots(value)
        yield from _of_class(type(value))
    elif hasattr(value, "__wrapped__"):
        yield [value.__wrapped__], range(1)


def _foreign(thing: Any) -> bool:
    return (getattr(thing, "__module__", None) or "builtins").partition(".")[0] in _FOREIGN


def _of_class(cls: type) -> Iterator[tuple[Any, Any]]:
    for each in cls.__mro__:
        if not _foreign(each):
            inside = dict(vars(each))
            yield (
                vars(each),
                [
                    key
                    for key, value in inside.items()
                    if isinstance(value, CODE) or (isinstance(value, PLAIN) and not key.startswith("__"))
                ],
            )


def _slots(value: Any) -> Iterator[tuple[Any, Any]]:
    slots = [vars(each).get("__slots__", ()) for each in type(value).__mro__]
    names = [name for some in slots for name in ((some,) if isinstance(some, str) else some)]
    found = [name for name in names if not name.startswith("__") and hasattr(value, name)]
    if found:
        yield Slots(value, found), found


def _of_function(function: types.FunctionType) -> Iterator[tuple[Any, Any]]:
    if _foreign(function) and not function.__closure__:
        return
    for cell in function.__closure__ or ():
        yield cell, ()
    if _foreign(function):
        return
    if function.__defaults__:
        yield function.__defaults__, range(len(function.__defaults__))
    if function.__kwdefaults__:
        yield function.__kwdefaults__, list(function.__kwdefaults__)
    names = set(names_of(function.__code__))
    seen = function.__globals__
    yield seen, [name for name in names if name in seen]
    for name in names:
        module = seen.get(name)
        if isinstance(module, types.ModuleType) and module.__name__.partition(".")[0] not in _FOREIGN:
            yield vars(module), [other for other in names if other in vars(module)]


def names_of(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_of(constant)
