"""What was read of programs, remembered for as long as it is true."""

import weakref
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from elbolab.programs.reading import Reading

_MANY = 64  # structures of arguments that are remembered, such as sizes of a batch


class Readings:
    """What was read of programs, kept for as long as they, and the structure of their arguments, are the same."""

    def __init__(self) -> None:
        self._kept: dict[tuple, tuple[Any, Reading]] = {}

    def of(
        self, model: Callable, guide: Callable, arguments: tuple, keywords: Mapping[str, Any], reader: Callable
    ) -> Reading:
        """What is known of these programs, or else what `reader(model, guide, *arguments, **keywords)` finds."""
        owners = [getattr(program, "__self__", program) for program in (model, guide)]
        key = (*map(_identity, (model, guide)), structure((arguments, keywords)))
        if key in self._kept:
            alive, reading = self._kept[key]
            if all(ref() is owner for ref, owner in zip(alive, owners, strict=True)):
                return reading
        if len(self._kept) >= _MANY:
            self._kept.pop(next(iter(self._kept)))
        reading = reader(model, guide, *arguments, **keywords)
        self._kept[key] = [weakref.ref(owner) for owner in owners], reading
        return reading

    def clear(self) -> None:
        """Forgets all."""
        self._kept.clear()

    def __reduce__(self) -> tuple:
        return Readings, ()  # a copy's programs may be others


def _identity(program: Callable) -> tuple:
    """A method is made anew whenever it is asked for: its object and its function are what it is."""
    owner = getattr(program, "__self__", program)
    return id(owner), id(getattr(program, "__func__", None)), getattr(owner, "training", None)


def structure(arguments: Any) -> Any:  # noqa: ANN401
    """What of a program's arguments may change which sites it has: not their numbers, but shapes and switches."""
    if isinstance(arguments, Tensor):
        return tuple(arguments.shape), arguments.dtype
    if isinstance(arguments, list | tuple):
        return type(arguments), *map(structure, arguments)
    if isinstance(arguments, Mapping):
        return tuple((key, structure(value)) for key, value in arguments.items())
    kept: Any = arguments if isinstance(arguments, bool | str | None) else type(arguments)
    return kept
