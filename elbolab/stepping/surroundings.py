"""What programs can see besides their arguments: globals, closures, attributes, containers, as far as it is theirs.

A graph has plain values of it in it, and uses its tensors: it serves as long as they are the same.
"""

import sys
import types
from collections.abc import Iterator, MutableMapping
from functools import partial
from itertools import count
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn

Place = tuple[Any, Any]  # a dictionary or list, and the key there
PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
_FOREIGN = frozenset({"torch", "pyro", "numpy", "scipy", "opt_einsum", "jax", "pandas"}) | sys.stdlib_module_names
_OF_EVERY_MODULE = frozenset(vars(nn.Module())) - {"training"}
_MOST = 20_000  # places
_LARGE = 2**20  # numbers


class Surroundings:
    """The plain values and tensors that programs can see, as they were; `changed` says what is no longer the same."""

    def __init__(self, *programs: Any) -> None:
        self.tensors: dict[tuple[int, Any], tuple[Any, Any, Tensor]] = {}
        self._plain: list[tuple[Any, tuple, tuple]] = []  # container, keys, values
        self._whole: list[tuple[Any, Any]] = []  # lists and dictionaries, and copies of them
        self._cells: list[tuple[types.CellType, Any]] = []
        self._kept: list[Any] = []
        self._places = count()
        self._look(programs)
        self._checks = [
            (d, itemgetter(*keys), values if len(keys) > 1 else values[0]) for d, keys, values in self._plain
        ]

    def _look(self, roots: tuple) -> None:
        seen: set[int] = set()
        waiting = list(roots)
        while waiting:
            value = waiting.pop()
            if id(value) in seen or isinstance(value, (*PLAIN, Tensor)):
                continue
            seen.add(id(value))
            self._kept.append(value)
            inside = list(_contents(value))
            if not inside and hasattr(value, "__dict__") and any(value is root for root in roots):
                inside = [(vars(value), list(vars(value)))]  # a loss of Pyro's: how many particles
            for container, keys in inside:
                waiting += self._noted(container, list(keys))

    def _noted(self, container: Any, keys: list) -> list[Any]:
        """Notes plain values and tensors at these keys; what else is there has contents of its own."""
        if isinstance(container, types.CellType):
            try:
                value = container.cell_contents
            except ValueError:
                return []
            if isinstance(value, (*PLAIN, Tensor)):
                self._cells.append((container, value))
                return []
            return [value]
        values = [container[key] for key in keys]
        plain = [(k, v) for k, v in zip(keys, values, strict=True) if isinstance(v, PLAIN)]
        if plain:
            self._plain.append((container, *map(tuple, zip(*plain, strict=True))))
        for key, value in zip(keys, values, strict=True):
            if isinstance(value, Tensor):
                self.tensors[id(container), key] = (container, key, value)
        if isinstance(container, list | dict) and len(container) == len(keys):
            self._whole.append((container, container.copy()))
        if next(self._places) > _MOST:
            return []
        return [v for v in values if not isinstance(v, (*PLAIN, Tensor))]

    def changed(self, *, tensors: bool = True) -> str | None:
        """The name of a plain value, or of a tensor's place, that holds something else now."""
        try:
            for container, get, values in self._checks:
                if get(container) != values:
                    return self._which(container)
            for container, kept in self._whole:
                if len(container) != len(kept):
                    return f"a {type(container).__name__} of {len(kept)} entries"
            for container, key, tensor in self.tensors.values() if tensors else ():
                if container[key] is not tensor:
                    return str(key)
            for cell, value in self._cells:
                now = cell.cell_contents
                if isinstance(value, Tensor) or isinstance(now, Tensor):
                    if tensors and now is not value:
                        return "a closure's variable"
                elif now is not value and now != value:
                    return "a closure's variable"
        except (KeyError, IndexError, ValueError, RuntimeError):
            return "an attribute"
        return None

    def _which(self, container: Any) -> str:
        for other, keys, values in self._plain:
            if other is container:
                for key, value in zip(keys, values, strict=True):
                    now = container[key]
                    if now is not value and (type(now) is not type(value) or now != value):
                        return f"{key}" if isinstance(key, str) else f"entry {key} of a {type(container).__name__}"
        return "an attribute"

    def values(self) -> list[tuple[Any, Tensor, Tensor]]:
        """The tensors' places, the tensors, and copies of them; data that are large are left out."""
        small = [(key, t) for _, key, t in self.tensors.values() if t.numel() <= _LARGE and t.layout == torch.strided]
        return [(key, tensor, tensor.detach().clone()) for key, tensor in small]

    def forget(self, container: Any, key: Any) -> None:
        """A place where another tensor will be from step to step."""
        del self.tensors[id(container), key]

    def restore(self) -> list[tuple[Any, Any, Any]]:
        """Puts back what was there. Says where another tensor was meanwhile, or what: (container, key, it)."""
        moved = []
        for container, kept in self._whole:
            if len(container) == len(kept):
                continue
            if isinstance(container, list):
                container[:] = kept
            else:
                for key in container.keys() - kept.keys():
                    del container[key]
                container.update({key: kept[key] for key in kept.keys() - container.keys()})
        for container, keys, values in self._plain:
            for key, value in zip(keys, values, strict=True):
                if _at(container, key) is not value:
                    _put(container, key, value)
        for container, key, tensor in self.tensors.values():
            now = _at(container, key)
            if now is not tensor:
                moved.append((container, key, now))
                _put(container, key, tensor)
        for cell, value in self._cells:
            if cell.cell_contents is not value:
                cell.cell_contents = value
        return moved


def _at(container: Any, key: Any) -> Any:
    try:
        return container[key]
    except (KeyError, IndexError):
        return None


def _put(container: Any, key: Any, value: Any) -> None:
    if isinstance(container, MutableMapping | list):
        container[key] = value


def _contents(value: Any) -> Iterator[tuple[Any, Any]]:
    """Where else a program that has the value can look: containers, with the keys there."""
    if isinstance(value, types.MethodType):
        yield [value.__self__, value.__func__], range(2)
    elif isinstance(value, partial):
        yield [value.func, *value.args, *value.keywords.values()], range(1 + len(value.args) + len(value.keywords))
    elif isinstance(value, types.FunctionType):
        yield from _of_function(value)
    elif isinstance(value, list | tuple) and len(value) <= _MOST:
        yield value, range(len(value))
    elif isinstance(value, dict) and len(value) <= _MOST:
        yield value, list(value)
    elif isinstance(value, nn.Module):
        yield vars(value), [key for key in vars(value) if key not in _OF_EVERY_MODULE]
        for name in ("_buffers", "_parameters", "_modules", "_forward_hooks", "_forward_pre_hooks"):
            yield vars(value)[name], list(vars(value)[name])
        yield from _of_class(type(value))
    elif hasattr(value, "__dict__") and not isinstance(value, type | types.ModuleType) and not _foreign(type(value)):
        yield vars(value), list(vars(value))
        yield from _of_class(type(value))
    elif hasattr(value, "__wrapped__"):
        yield [value.__wrapped__], range(1)


def _foreign(thing: Any) -> bool:
    return (getattr(thing, "__module__", None) or "builtins").partition(".")[0] in _FOREIGN


def _of_class(cls: type) -> Iterator[tuple[Any, Any]]:
    for each in cls.__mro__:
        if not _foreign(each):
            inside = dict(vars(each))
            yield vars(each), [k for k, v in inside.items() if isinstance(v, PLAIN) and not k.startswith("__")]
            yield list(inside.values()), [i for i, v in enumerate(inside.values()) if isinstance(v, types.FunctionType)]


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
    names = set(_names(function.__code__))
    seen = function.__globals__
    yield seen, [name for name in names if name in seen]
    for name in names:
        module = seen.get(name)
        if isinstance(module, types.ModuleType) and module.__name__.partition(".")[0] not in _FOREIGN:
            yield vars(module), [other for other in names if other in vars(module)]


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
