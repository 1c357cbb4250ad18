"""What is to be audited may be a function, a method, a class, or an object with networks inside: how each is called."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import nn

from elbolab.auditing.heads import plain
from elbolab.auditing.probe.initial import initial
from elbolab.auditing.probe.names import is_latent_size
from elbolab.auditing.probe.serving import Serving
from elbolab.auditing.probe.standins import Standin
from elbolab.auditing.probe.templates import Stand, filled

# The methods that are audited where a class is named, the likeliest first.
METHODS = ("loss_function", "compute_loss", "loss", "elbo", "criterion", "training_step", "step", "forward", "__call__")
_SAMPLERS = ("reparam", "sampl", "rsample")


@dataclass(frozen=True)
class Target:
    """A function, and the object that stands before its arguments, if it is a method."""

    function: Callable[..., Any]
    before: tuple[Stand, ...] = ()
    said: tuple[str, ...] = ()

    @property
    def latents(self) -> int | None:
        """The number of latents that the class has unless it is told otherwise."""
        method = getattr(self.owner, "__init__", None) if self.owner else None
        for parameter in inspect.signature(method).parameters.values() if isinstance(method, FunctionType) else ():
            if is_latent_size(parameter.name) and type(parameter.default) is int:
                return parameter.default
        return None

    @property
    def learned(self) -> dict[str, torch.Tensor]:
        """The scalars and vectors that the object, or what the function's code names, learns; networks apart."""
        thing = getattr(self.function, "__self__", self.function)
        given = dict(self.before[0].given) if self.before else {"": thing}
        if hasattr(self.function, "__code__"):
            around = inspect.getclosurevars(self.function)
            given |= {**around.globals, **around.nonlocals}
        found: dict[str, torch.Tensor] = {}
        for name, value in given.items():
            if isinstance(value, nn.Module):
                inner = {f"{name}.{own}".lstrip("."): parameter for own, parameter in value.named_parameters()}
                found |= {own: parameter for own, parameter in inner.items() if parameter.dim() < 2}
            elif isinstance(value, nn.Parameter) and value.dim() < 2:
                found[name] = value
        return found

    @property
    def owner(self) -> type | None:
        return self.before[0].of if self.before else None

    def sampler(self) -> Callable[..., Any] | None:
        """The method beside it that draws z."""
        for name in dir(self.owner) if self.owner else ():
            if any(plain(name).startswith(start) for start in _SAMPLERS) and callable(getattr(self.owner, name)):
                return bound(getattr(self.owner, name), self.before[0])
        return None


@dataclass(frozen=True)
class Method:
    """A method as that of a class which may only inherit it."""

    of: type
    function: Callable[..., Any]

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self.function(*arguments, **keywords)


def method_of(owner: type, name: str) -> Any:
    """A method of this class on an object of its own; static and class methods as they are."""
    found = getattr(owner, name)
    plainly = isinstance(found, FunctionType) and not isinstance(inspect.getattr_static(owner, name), staticmethod)
    return Method(owner, found) if plainly and _takes_self(found) else found


def target_of(loss: Any) -> Target:
    """How the thing is called.

    Raises:
        ValueError: it is a class or an object without a method that looks like a loss.
    """
    if isinstance(loss, Method):
        return Target(loss.function, (Stand("self", loss.of, initial(loss.of)),))
    if isinstance(loss, type):
        return _of_class(loss)
    if isinstance(loss, MethodType) and not isinstance(loss.__self__, type):
        return _of_method(loss.__func__, loss.__self__)
    if isinstance(loss, nn.Module):
        return Target(loss) if not _networks(loss) else _of_object(loss)
    owner = _owner(loss)
    if owner is not None:
        return Target(loss, (Stand("self", owner, initial(owner)),))
    return Target(loss)


def bound(function: Callable[..., Any], stand: Stand) -> Callable[..., Any]:
    """A method with an object before its arguments that stands in."""
    if isinstance(function, MethodType) or not _takes_self(function):
        return function

    def call(*arguments: Any) -> Any:
        with Serving({}) as serving:
            return function(filled(stand, serving), *arguments)

    call.__signature__ = _without_first(function)  # type: ignore[attr-defined]
    return call


def _without_first(function: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(function)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _takes_self(function: Callable[..., Any]) -> bool:
    return next(iter(inspect.signature(function).parameters), "") == "self"


def _owner(function: Any) -> type | None:
    """The class that a plain function is a method of, if its first argument is self."""
    try:
        if not isinstance(function, FunctionType) or not _takes_self(function):
            return None
    except (TypeError, ValueError):
        return None
    owner: Any = None
    scope: Any = function.__globals__
    for part in function.__qualname__.split(".")[:-1]:
        owner = scope.get(part) if isinstance(scope, dict) else getattr(scope, part, None)
        scope = owner
    return owner if isinstance(owner, type) else type("Self", (), {})


def _of_class(kind: type) -> Target:
    name = next((name for name in METHODS if _own(kind, name)), None)
    if name is None:
        there = [n for n in vars(kind) if callable(getattr(kind, n)) and not n.startswith("_")]
        raise ValueError(f"{kind.__name__} has no method that looks like a loss; there are: {', '.join(there)}")
    try:
        thing = kind()
    except Exception:  # it wants arguments, or files, or a device: its methods are called on a stand-in
        thing = None
    if isinstance(thing, nn.Module) and not _networks(thing):
        return Target(thing) if name in ("forward", "__call__") else Target(getattr(thing, name))
    if thing is not None and not isinstance(thing, nn.Module):
        return Target(getattr(thing, name), said=(f"{kind.__name__}.{name} is audited",))
    return Target(getattr(kind, name), (Stand("self", kind, initial(kind)),), (f"{kind.__name__}.{name} is audited",))


def _own(kind: type, name: str) -> bool:
    found = getattr(kind, name, None)
    return callable(found) and hasattr(found, "__code__") and "torch/nn/modules" not in found.__code__.co_filename


def _of_object(thing: nn.Module) -> Target:
    return _of_method(getattr(type(thing), _of_class_name(type(thing))), thing)


def _of_class_name(kind: type) -> str:
    return next((name for name in METHODS if _own(kind, name)), "forward")


def _of_method(function: Callable[..., Any], thing: Any) -> Target:
    """A method of an object: its networks stand in, its numbers and losses are its own."""
    if not isinstance(thing, nn.Module) or not _networks(thing):
        return Target(MethodType(function, thing))
    hidden = ("_modules", "_parameters", "_buffers")
    given = {k: v for k, v in vars(thing).items() if not k.startswith("_") and k not in hidden}
    given |= {name: part for name, part in thing._modules.items() if part is not None and not _networks(part)}
    given |= {name: part for name, part in thing._parameters.items() if part is not None}
    given |= {name: Standin(name, "probs") for name, part in thing._modules.items() if _ends_in_sigmoid(part)}
    return Target(function, (Stand("self", type(thing), given),))


def _networks(thing: nn.Module) -> bool:
    """Does it have layers of its own? A learned scalar alone is none."""
    return any(parameter.dim() > 1 for parameter in thing.parameters())


def _ends_in_sigmoid(part: Any) -> bool:
    return isinstance(part, nn.Sequential) and len(part) > 0 and isinstance(part[-1], nn.Sigmoid)
