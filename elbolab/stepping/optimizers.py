"""Optimisers as they are used by SVI, and their step as a function of tensors, to be part of a graph."""

import copy
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import is_not
from typing import Any

import torch
from pyro.optim import PyroOptim
from pyro.optim import adagrad_rmsprop as adagrad
from torch import Tensor
from torch.optim import Optimizer

from elbolab.graph.reads import CannotCapture
from elbolab.graph.torch_internals import as_if_compiling
from elbolab.stepping.tensor_numbers import PythonNumbers, tensor_math

Factory = Callable[[Iterable[Tensor]], Optimizer]
_FIRST_STEP_APART = (adagrad.AdagradRMSProp,)


_COUNTS = frozenset({"step", "mu_product", "mu", "eta"})  # what torch.optim calls its scalars


class OptimizerApart(CannotCapture):
    """The step of an optimiser is no fixed sequence of tensor operations; the gradient may be one."""


class Together(PyroOptim):
    """One optimiser of torch.optim for all parameters; those that appear later join it.

    A parameter without a gradient is not moved, and gradients are None between steps, as PyTorch has it.
    """

    def __init__(self, factory: Factory) -> None:
        super().__init__(factory, {})
        self._factory = factory
        self.optimizer: Optimizer | None = None

    @classmethod
    def of(cls, optimizer: Optimizer) -> "Together":
        """An optimiser that there is already."""
        made = cls(lambda parameters: optimizer)
        made.optimizer = optimizer
        made.optim_objs = {p: optimizer for group in optimizer.param_groups for p in group["params"]}
        made.grad_clip = dict.fromkeys(made.optim_objs)
        return made

    def __call__(self, params: Iterable[Tensor], *args: Any, **kwargs: Any) -> None:
        new = [p for p in params if p not in self.optim_objs]
        if new and self.optimizer is None:
            made = self._factory(new)
            if not isinstance(made, Optimizer):
                raise ValueError(f"optim made a {type(made).__name__} of the parameters, not a torch.optim.Optimizer")
            self.optimizer = made
        elif new and self.optimizer is not None:
            self.optimizer.add_param_group({"params": new})
        self.optim_objs |= dict.fromkeys(new, self.optimizer)
        self.grad_clip |= dict.fromkeys(new)
        if self.optimizer is not None:
            self.optimizer.step()
            self.optimizer.zero_grad()


@dataclass
class Numbers:
    """What an optimiser counts in Python: where it is, and what a step makes of it."""

    places: list[tuple[dict, str]] = field(default_factory=list)
    factors: list[float] = field(default_factory=list)
    terms: list[float] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)  # which of the tensors that stand for them

    def values(self) -> list[float]:
        return [where[name] for where, name in self.places]

    def predicted(self) -> list[float]:
        """What one step of the optimiser makes of them."""
        laws = zip(self.values(), self.factors, self.terms, strict=True)
        return [value * factor if factor != 1.0 else value + term if term else value for value, factor, term in laws]

    def advance(self) -> None:
        """As one step of the optimiser leaves them."""
        for (where, name), value in zip(self.places, self.predicted(), strict=True):
            where[name] = value


class Moved:
    """The optimisers of some parameters, and their step as a function."""

    def __init__(self, optim: PyroOptim, parameters: Sequence[Tensor]) -> None:
        """
        Args:
            optim: which has taken a step with each of the parameters.
            parameters: those that a step moves.

        Raises:
            OptimizerApart: an optimiser does what is not tensor operations.
        """
        self.optim, self.parameters = optim, list(parameters)
        self.optimizers: list[Optimizer] = []
        for p in self.parameters:
            one = optim.optim_objs[p]
            one = getattr(one, "optimizer", one)  # a scheduler's
            if all(one is not other for other in self.optimizers):
                self.optimizers.append(one)
        for one in self.optimizers:
            if one._optimizer_step_pre_hooks or one._optimizer_step_post_hooks:
                raise OptimizerApart(f"{type(one).__name__} has hooks on its step")
        states = [self._state(p) for p in self.parameters]
        self.memory = [(s, k) for s in states for k, v in s.items() if isinstance(v, Tensor)]
        self.numbers = Numbers()
        for one in self.optimizers:
            for group in one.param_groups:
                if isinstance(group.get("lr"), Tensor):
                    raise OptimizerApart(f"{type(one).__name__} has a tensor as its lr")
                self._count(group, "lr", group.get("lrd", 1.0), 0.0)
        for state in states:
            for name, value in state.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    self._count(state, name, 1.0, 1.0)
        self._options = self._plain()
        self._groups = [group for one in self.optimizers for group in one.param_groups]
        self._states = [(p, state) for p, state in zip(self.parameters, states, strict=True) if state]

    def _state(self, p: Tensor) -> dict:
        one = self.optim.optim_objs[p]
        return getattr(one, "optimizer", one).state.get(p, {})

    def _count(self, where: dict, name: str, factor: float, term: float) -> None:
        if name in where:
            self.numbers.places.append((where, name))
            self.numbers.factors.append(factor)
            self.numbers.terms.append(term)

    def _plain(self) -> list[dict[str, Any]]:
        return [
            {k: v for k, v in group.items() if k not in ("params", "lr", "initial_lr")}
            for one in self.optimizers
            for group in one.param_groups
        ]

    def changed(self) -> str | None:
        """The name of an option that is another one now; of a learning rate, the step is a function."""
        groups = [group for one in self.optimizers for group in one.param_groups]
        if len(groups) != len(self._options):
            return "the optimiser's parameters"
        if any(map(is_not, groups, self._groups)) or any(self._state(p) is not state for p, state in self._states):
            return "the optimiser's state"
        for group, options in zip(groups, self._options, strict=True):
            for name, value in options.items():
                if group[name] != value:
                    return f"the optimiser's {name}"
        return None

    def __call__(
        self,
        values: Sequence[Tensor],
        memory: Sequence[Tensor],
        numbers: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        options: Sequence[dict[str, Any]] = (),
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Parameters and memory after a step; nothing is written to.

        `options` are tensors in the place of an optimiser's numbers, for each of its groups of parameters.
        """
        # Step counts are float32 scalars, eager optimisers compute with them as Python numbers: here, in float64.
        names = [name for _, name in self.memory]
        given = [v.double() if name in _COUNTS else v.clone() for name, v in zip(names, memory, strict=True)]
        places = [*self.memory, *self.numbers.places]
        given += [numbers[group].clone() for group in self.numbers.groups]
        at = {(id(where), name): v for (where, name), v in zip(places, given, strict=True)}
        moved = [v.clone() for v in values]
        stand_ins = {id(p): new for p, new in zip(self.parameters, moved, strict=True)}
        with as_if_compiling(), torch.no_grad(), PythonNumbers() as numbers_mode, tensor_math():
            for p, new, gradient in zip(self.parameters, moved, gradients, strict=True):
                new.grad = None if gradient is None else gradient.clone()
                clip = self.optim.grad_clip.get(p)
                if clip is not None and gradient is not None:
                    clip(new)
            for one in self.optimizers:
                numbers_mode.begun = isinstance(one, _FIRST_STEP_APART)
                try:
                    self._stepped(one, stand_ins, at, options or [{}] * len(one.param_groups))
                except Exception as error:
                    reason = str(error).strip().partition("\n")[0].partition(" - ")[0]
                    raise OptimizerApart(f"{type(one).__name__}: {reason}") from error
        return moved, [at[id(where), name] for where, name in self.memory]

    @staticmethod
    def _stepped(
        one: Optimizer, stand_ins: dict[int, Tensor], at: dict[tuple[int, str], Tensor], options: Sequence[dict]
    ) -> None:
        """Runs the step of an optimiser on a twin of it, whose memory and numbers are the tensors of `at`."""
        twin = copy.copy(one)
        twin.param_groups = [
            # `capturable` keeps the step count a tensor; Inductor fuses one tensor's operations after the other's.
            {
                **group,
                "foreach": False,
                "fused": False,
                "params": [stand_ins[id(p)] for p in group["params"] if id(p) in stand_ins],
            }
            | ({"lr": at[id(group), "lr"]} if (id(group), "lr") in at else {})
            | ({"capturable": True} if "capturable" in group else {})
            | others
            for group, others in zip(one.param_groups, options, strict=True)
        ]
        twin.state = defaultdict(dict)
        states = [(one.state[p], stand_ins[id(p)]) for g in one.param_groups for p in g["params"] if id(p) in stand_ins]
        for state, new in states:
            if state:
                twin.state[new] = {name: at.get((id(state), name), value) for name, value in state.items()}
        inspect.unwrap(type(one).step)(twin)
        for state, new in states:
            if twin.state[new].keys() != state.keys():
                raise CannotCapture(f"{type(one).__name__} begins to keep something")
            for name in state:
                if (id(state), name) in at:
                    at[id(state), name] = twin.state[new][name]
                elif twin.state[new][name] is not state[name]:
                    raise CannotCapture(f"{type(one).__name__} changes its {name}")
