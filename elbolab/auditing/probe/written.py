"""The whole numbers that stand in somebody's code: sizes that it fixes are among them."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from types import CodeType, FunctionType
from typing import Any

import torch

from elbolab.auditing.probe.code import underlying


def written_sizes(function: Any, given: Mapping[str, Any]) -> frozenset[int]:
    """The whole numbers that stand in the code of a loss and in what it uses, and their products."""
    numbers = {n for n in _numbers(function, set()) if 2 <= n <= 2**20}
    for value in given.values():
        numbers |= {value} if type(value) is int and 2 <= value <= 2**20 else set()
    few = sorted(numbers)[:24]
    doubled = {*few, *(n * n for n in few)}
    pairs = {a * b for a, b in combinations(doubled, 2)}
    return frozenset(n for n in (*doubled, *pairs, *(a * b * b for a in few for b in few)) if n > 2)


def _numbers(function: Any, seen: set[int]) -> Iterator[int]:
    function = underlying(function)
    code = getattr(function, "__code__", None)
    if code is None or id(code) in seen or len(seen) > 30:
        return
    seen.add(id(code))
    yield from _constants(code)
    for default in getattr(function, "__defaults__", None) or ():
        yield from _whole(default)
    for cell in getattr(function, "__closure__", None) or ():
        yield from _whole(cell.cell_contents)
        if isinstance(cell.cell_contents, FunctionType):
            yield from _numbers(cell.cell_contents, seen)
    for name in code.co_names:
        value = function.__globals__.get(name)
        yield from _whole(value)
        if isinstance(value, FunctionType):
            yield from _numbers(value, seen)


def _constants(code: CodeType) -> Iterator[int]:
    for constant in code.co_consts:
        yield from _constants(constant) if isinstance(constant, CodeType) else _whole(constant)


def _whole(value: Any) -> Iterator[int]:
    if type(value) is int:
        yield value
    elif type(value) is float and value.is_integer() and abs(value) < 2**20:
        yield int(value)
    elif isinstance(value, (tuple, torch.Size)):
        for part in value:
            yield from _whole(part)
