"""Programs in Pyro's usual style as modules: what they keep in Pyro's parameter store are parameters like any other."""

import inspect
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyro
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import transform_to

from elbolab.programs.reading import undisturbed
from elbolab.programs.sites import replayable

_MODULE = "$$$"  # in the names of what pyro.module has put into the store


class Program(nn.Module):
    """A model or guide whose parameters in the store are its own, by their names there.

    When it is called, the store's `pyro.param` and the modules that the program can be seen to use answer with the
    present values of these parameters, whatever has been put in their place (by a tracer, for one). `hidden` are
    parameters of modules that cannot be seen: they have gradients, and cannot be replaced.
    """

    def __init__(self, program: Callable, leaves: dict[str, nn.Parameter]) -> None:
        """
        Args:
            program: a function, a method or a module.
            leaves: the unconstrained parameters that it takes from the store.
        """
        super().__init__()
        self._program = [program]  # in a list: its own parameters are named here, or not in the store
        if isinstance(program, nn.Module):
            self.program = program
        own = {id(p): name for name, p in self.named_parameters()}
        self._keys = {name: own.get(id(leaf), name.replace(".", "_")) for name, leaf in leaves.items()}
        for name, leaf in leaves.items():
            if id(leaf) not in own:
                self.register_parameter(self._keys[name], leaf)
        parts = [part for module in _modules(program) for part in module.modules()]
        places = {id(p): (part, key) for part in parts for key, p in part._parameters.items()}
        other = {name: leaf for name, leaf in leaves.items() if id(leaf) not in own}
        self._places = {name: places[id(leaf)] for name, leaf in other.items() if id(leaf) in places}
        self.hidden = [name for name, leaf in leaves.items() if _MODULE in name and id(leaf) not in {**own, **places}]

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        values = {name: self._now(key) for name, key in self._keys.items()}
        with _Answer(values), _put(self._places, values):
            return self._program[0](*arguments, **keywords)

    def _now(self, key: str) -> Tensor:
        """A parameter, or what is in its place."""
        part, _, name = key.rpartition(".")
        return self.get_submodule(part)._parameters[name]  # type: ignore[return-value]


class _Answer(Messenger):
    """Answers `pyro.param` with given unconstrained values."""

    def __init__(self, values: dict[str, Tensor]) -> None:
        super().__init__()
        self.values = values

    def _pyro_param(self, msg: dict[str, Any]) -> None:
        if msg["name"] in self.values:
            value = self.values[msg["name"]]
            constrained = transform_to(pyro.get_param_store()._constraints[msg["name"]])(value)
            constrained.unconstrained = weakref.ref(value)
            msg["value"], msg["done"] = constrained, True


@contextmanager
def _put(places: dict[str, tuple[nn.Module, str]], values: dict[str, Tensor]) -> Iterator[None]:
    """Puts values into modules, and takes them out again."""
    before = {name: part._parameters[key] for name, (part, key) in places.items()}
    try:
        for name, (part, key) in places.items():
            part._parameters[key] = values[name]  # type: ignore[assignment]
        yield
    finally:
        for name, (part, key) in places.items():
            part._parameters[key] = before[name]


def _modules(program: Callable) -> Iterator[nn.Module]:
    """The modules that a function or method can be seen to use: its object's, and those that its code names."""
    owner = getattr(program, "__self__", None)
    seen = [owner, *getattr(owner, "__dict__", {}).values()]
    function = getattr(program, "__func__", program)
    if inspect.isfunction(function):
        variables = inspect.getclosurevars(function)
        seen += [*variables.nonlocals.values(), *variables.globals.values()]
    return (value for value in seen if isinstance(value, nn.Module))


def with_store(model: Callable, guide: Callable, *arguments: Any) -> tuple[Callable, Callable]:
    """The same two programs, with what they take from Pyro's store as parameters of modules.

    They run once, so that the store has what they put there.
    """
    leaves: dict[str, Any] = {}
    found = []
    with undisturbed(model, guide):
        trace = poutine.trace(guide).get_trace(*arguments)
        replayed = poutine.trace(poutine.replay(model, trace=replayable(trace))).get_trace(*arguments)
    store = pyro.get_param_store()
    for program, run in ((model, replayed), (guide, trace)):
        names = [name for name, node in run.nodes.items() if node["type"] == "param" and name in store]
        for name in names:
            leaf = store._params[name]
            leaves.setdefault(name, leaf if isinstance(leaf, nn.Parameter) else nn.Parameter(leaf.data))
        found.append(Program(program, {name: leaves[name] for name in names}) if names else program)
    return found[0], found[1]
