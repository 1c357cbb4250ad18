"""Objects of somebody's class that were never initialised: their methods are their own, the rest stands in."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch

from elbolab.auditing.heads import plain
from elbolab.auditing.probe.frames import stored_as
from elbolab.auditing.probe.names import slot_named
from elbolab.auditing.probe.serving import Unserved
from elbolab.auditing.probe.standins import Standin, named_after


def objects_of(kind: type, name: str, given: Mapping[str, Any]) -> Any:
    """An object of the class that was never initialised: its methods are its own, what it lacks stands in."""

    def __getattr__(self: Any, attribute: str) -> Any:
        if attribute.startswith("__") and not slot_named(attribute):
            raise AttributeError(attribute)
        networks = [self.__dict__.get(place) or {} for place in ("_parameters", "_buffers", "_modules")]
        found = next((there[attribute] for there in networks if attribute in there), None)
        return found if found is not None else getattr(Standin(name), attribute)

    def wrapped(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
            names = stored_as(sys._getframe(1))
            try:
                returned = method(self, *arguments, **keywords)
            except (TypeError, ValueError, RuntimeError, Unserved):
                if not _network(method.__name__):
                    raise
                returned = Standin(method.__name__)
            return _understood(returned, names, method.__name__)

        return call

    methods = {
        key: wrapped(value)
        for base in reversed(kind.__mro__)
        for key, value in vars(base).items()
        if callable(value) and hasattr(value, "__code__") and not key.startswith("__") and _is_theirs(base)
    }
    made: Any = type(kind)(kind.__name__, (kind,), {**methods, "__getattr__": __getattr__})
    thing = object.__new__(made)
    if issubclass(kind, torch.nn.Module):
        torch.nn.Module.__init__(thing)
    for attribute, value in given.items():
        object.__setattr__(thing, attribute, value)
    return thing


def _is_theirs(base: type) -> bool:
    return base.__module__.split(".")[0] not in ("builtins", "torch", "lightning", "pytorch_lightning")


def _network(name: str) -> bool:
    return plain(name).startswith(("encod", "decod", "forward", "infer", "generat", "represent"))


def _understood(returned: Any, names: tuple[str, ...], method: str) -> Any:
    """What a method returned, its unknown parts by the names that they are stored under."""
    if isinstance(returned, Standin):
        return named_after(names, Standin(method, returned._claim, called=True))
    if isinstance(returned, tuple) and any(isinstance(part, Standin) for part in returned):
        labels = names if len(names) == len(returned) else ("",) * len(returned)
        return tuple(
            part._answer(label) if isinstance(part, Standin) and label else part
            for part, label in zip(returned, labels, strict=True)
        )
    return returned
