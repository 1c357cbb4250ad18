"""What programs can see besides their arguments: globals, closures, attributes, containers, as far as it is theirs.

A graph has plain values of it in it, and uses its tensors: it serves as long as they are the same.
"""

import random
import types
from collections import deque
from collections.abc import Iterator, MutableMapping
from itertools import count
from operator import is_not, itemgetter
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor

from elbolab.graph.reads import CannotCapture
from elbolab.stepping.seeing import MOST, PLAIN, contents, names_of

Place = tuple[Any, Any]  # a dictionary or list, and the key there
_LARGE = 2**20  # numbers
_ARRAY = 2**16  # numbers of a NumPy array, which are looked at before every step
_ONCE = (Iterator, torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


class Surroundings:
    """The plain values and tensors that programs can see, as they were; `changed` says what is no longer the same."""

    def __init__(self, *programs: Any) -> None:
        self.tensors: dict[tuple[int, Any], tuple[Any, Any, Tensor]] = {}
        self._plain: list[tuple[Any, tuple, tuple]] = []  # container, keys, values
        self._objects: list[tuple[Any, tuple, tuple]] = []  # the same of what is neither plain nor a tensor
        self._whole: list[tuple[Any, Any]] = []  # lists, dictionaries, sets and queues, and copies of them
        self._arrays: list[tuple[np.ndarray, np.ndarray]] = []
        self._store: set[str] | None = None  # the names in Pyro's store, where programs ask for them
        self._cells: list[tuple[types.CellType, Any]] = []
        self._kept: list[Any] = []
        self._places = count()
        self._look(programs)
        self._checks = [
            (d, itemgetter(*keys), values if len(keys) > 1 else values[0]) for d, keys, values in self._plain
        ]
        self._own: set[tuple[int, Any]] = set()  # places where the programs themselves put another object

    def _look(self, roots: tuple) -> None:
        seen: set[int] = set()
        waiting = list(roots)
        while waiting:
            value = waiting.pop()
            if id(value) in seen or isinstance(value, (*PLAIN, Tensor)):
                continue
            seen.add(id(value))
            self._kept.append(value)
            self._alone(value)
            inside = list(contents(value))
            if not inside and hasattr(value, "__dict__") and any(value is root for root in roots):
                inside = [(vars(value), list(vars(value)))]  # a loss of Pyro's: how many particles
            for container, keys in inside:
                waiting += self._noted(container, list(keys))

    def _alone(self, value: Any) -> None:
        """
        Raises:
            CannotCapture: to run programs that use it once more would change what comes after, or cannot be seen to.
        """
        if isinstance(value, _ONCE):
            raise CannotCapture(
                f"the programs can see a {type(value).__name__}, which a run of theirs to capture them would advance"
            )
        if isinstance(value, np.ndarray):
            if value.size > _ARRAY:
                raise CannotCapture(f"the programs can see a NumPy array of {value.size} numbers; a tensor would do")
            self._arrays.append((value, value.copy()))
        elif isinstance(value, set):
            self._whole.append((value, value.copy()))
        elif isinstance(value, types.FunctionType) and "get_param_store" in names_of(value.__code__):
            self._store = set(pyro.get_param_store()._params)

    def _noted(self, container: Any, keys: list) -> list[Any]:
        """Notes plain values and tensors at these keys; what else is there has contents of its own."""
        if isinstance(container, types.CellType):
            try:
                value = container.cell_contents
            except ValueError:
                return []
            self._cells.append((container, value))
            return [] if isinstance(value, (*PLAIN, Tensor)) else [value]
        values = [container[key] for key in keys]
        plain = [(k, v) for k, v in zip(keys, values, strict=True) if isinstance(v, PLAIN)]
        if plain:
            self._plain.append((container, *map(tuple, zip(*plain, strict=True))))
        for key, value in zip(keys, values, strict=True):
            if isinstance(value, Tensor):
                self.tensors[id(container), key] = (container, key, value)
        other = [(k, v) for k, v in zip(keys, values, strict=True) if not isinstance(v, (*PLAIN, Tensor))]
        if other:
            self._objects.append((container, *map(tuple, zip(*other, strict=True))))
        if isinstance(container, list | dict | deque) and len(container) == len(keys):
            self._whole.append((container, container.copy()))
        if next(self._places) > MOST:
            return []
        return [v for _, v in other]

    def changed(self, *, tensors: bool = True) -> str | None:
        """The name of a plain value, or of a tensor's place, that holds something else now."""
        try:
            for container, get, values in self._checks:
                if get(container) != values:
                    return self._which(container)
            for container, kept in self._whole:
                if len(container) != len(kept) or (isinstance(kept, set) and container != kept):
                    return f"a {type(container).__name__} of {len(kept)} entries"
            for array, numbers in self._arrays:
                if not np.array_equal(array, numbers):
                    return f"a NumPy array of shape {numbers.shape}"
            if self._store is not None and self._store != pyro.get_param_store()._params.keys():
                return "a name in Pyro's store"
            found = self._replaced()
            if tensors and found:
                return str(found[0][1])
            for container, key, tensor in self.tensors.values() if tensors else ():
                if container[key] is not tensor:
                    return str(key)
            for cell, value in self._cells:
                now = cell.cell_contents
                if isinstance(value, Tensor) or isinstance(now, Tensor):
                    if tensors and now is not value:
                        return "a closure's variable"
                elif now is not value and not (isinstance(value, PLAIN) and now == value):
                    return "a closure's variable"
        except (KeyError, IndexError, ValueError, RuntimeError):
            return "an attribute"
        return None

    def _replaced(self) -> list[tuple[Any, Any, Any]]:
        """Places of other objects than there were, which the programs themselves do not replace; what was there."""
        return [
            (container, key, value)
            for container, keys, values in self._objects
            if any(map(is_not, (_at(container, key) for key in keys), values))
            for key, value in zip(keys, values, strict=True)
            if _at(container, key) is not value and (id(container), key) not in self._own
        ]

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
        for container, key, value in self._replaced():
            self._own.add((id(container), key))
            _put(container, key, value)
        for container, kept in self._whole:
            if len(container) == len(kept) and not isinstance(kept, set):
                continue
            if not isinstance(container, dict):
                container.clear()
                (container.update if isinstance(container, set) else container.extend)(kept)
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
    if isinstance(container, MutableMapping | list | deque):
        container[key] = value
