"""One structure of arguments: its first step, its graph, and the comparisons of the two."""

import warnings
from operator import is_not
from typing import TYPE_CHECKING, Any

import pyro
import torch
from pyro.infer.util import zero_grads
from torch import Tensor

from elbolab.graph.reads import CannotCapture
from elbolab.graph.torch_internals import pytree
from elbolab.stepping.comparison import Comparison
from elbolab.stepping.numbers import NumberTensors
from elbolab.stepping.optimizers import Moved, OptimizerApart, Together
from elbolab.stepping.seeing import PLAIN
from elbolab.stepping.step_graph import StepGraph, traced
from elbolab.stepping.surroundings import Surroundings
from elbolab.stepping.taking import Failed, StepFailed, answers
from elbolab.stepping.watching import Taken, as_tensors

if TYPE_CHECKING:
    from elbolab.stepping.cache import Cache
    from elbolab.stepping.svi import CompiledSVI

_EVERY = 10_000  # steps between two comparisons, in the end


class Changed(Exception):
    """Something that a graph was made for is another thing now; the message names it."""


class NotNow(Exception):
    """This step is Pyro's; the message says why."""


class Entry:
    """Steps with arguments of one structure: the first is Pyro's, then there is a graph, or a reason why not."""

    def __init__(self, cache: "Cache", spec: Any) -> None:
        self.cache, self.spec = cache, spec
        self.reason: str | None = None
        self.taken: Taken | None = None
        self.graph: StepGraph | None = None
        self.made = 0
        self.uses = 0
        self._floats: tuple[float, ...] = ()
        self._travelling = False  # floats travel as tensors
        self._optimizer_apart = self.uncompiled = ""

    def first(self, taken: Taken, leaves: list) -> None:
        """After a step that was Pyro's."""
        self.taken, self._floats = taken, _floats(leaves)

    def refuse(self, reason: str) -> None:
        """From now on Pyro takes the steps; where graphs have taken some, they may have been others."""
        self.reason, self.graph = reason, None
        if self.uses > 1:
            warnings.warn(
                f"a compiled step was not what the programs do, after {self.uses} steps: {reason}", stacklevel=4
            )

    @property
    def described(self) -> str:
        compiled = self.graph is not None and self.graph.run is not None
        how = "compiled: one graph a step" if compiled else "captured: one graph a step" + self.uncompiled
        return how + self._optimizer_apart

    def capture(self, leaves: list) -> None:
        """Makes the graph; nothing is changed by it.

        Raises:
            CannotCapture: there is none.
        """
        cache, taken = self.cache, self.taken
        assert taken is not None
        self._travelling = self._travelling or _floats(leaves) != self._floats
        svi = cache.svi
        objects = [leaf for leaf in leaves if not isinstance(leaf, (*PLAIN, Tensor))]
        self.surroundings = Surroundings(svi.model, svi.guide, cache.loss, *objects)
        self._parts = _parts(svi)
        self.parameters = taken.parameters
        self._pattern = [(p.grad is None, p.requires_grad) for p in self.parameters]
        try:
            moved = Moved(svi.optim, self.parameters) if cache.gradient and not self._optimizer_apart else None
            self.graph = graph = self._traced(moved, leaves)
        except OptimizerApart as error:
            self._optimizer_apart = f", and the optimiser's own step: {error}"
            self.graph = graph = self._traced(None, leaves)
        self.uses = 0
        self._asking = [t.requires_grad for t in graph.outside]
        for container, key in graph.assigned:
            self.surroundings.forget(container, key)
        used = {id(p) for p in (*self.parameters, *graph.outside)}
        self._stored = {name: p for name, p in pyro.get_param_store()._params.items() if id(p) in used}
        self.uncompiled = "" if cache.compile else ", not compiled"
        if cache.compile:
            try:
                graph.compile(self.inputs(leaves))
            except CannotCapture as error:
                self.uncompiled = f", run operation by operation: {error}"

    def _traced(self, moved: Moved | None, leaves: list) -> StepGraph:
        svi, gradient = self.cache.svi, self.cache.gradient
        self.numbers = NumberTensors(moved, self.parameters)
        loss = svi.loss_and_grads if gradient else svi.loss
        return traced(
            lambda *args, **kwargs: loss(svi.model, svi.guide, *args, **kwargs),
            self.parameters,
            moved,
            self.surroundings,
            self.given(leaves),
            self.spec,
            self.numbers.tensors,
        )

    def given(self, leaves: list) -> list:
        """The arguments of the programs: floats that change as tensors."""
        if not self._travelling:
            return leaves
        return [torch.tensor(v, dtype=torch.float64) if isinstance(v, float) else v for v in leaves]

    def inputs(self, leaves: list) -> list[Tensor]:
        assert self.graph is not None
        arguments = [v for v in self.given(leaves) if isinstance(v, Tensor)]
        return self.graph.inputs(self.numbers.filled(), arguments)

    def __call__(self, leaves: list, args: tuple, kwargs: dict[str, Any]) -> Any:
        """A step by the graph; compared with what Pyro does, now and then.

        Raises:
            Changed: the graph does not serve.
            Disagrees: it is compared, and not the same.
            Failed: it raised, and nothing is changed by it.
            StepFailed: it raised, and may have changed what it moves.
        """
        self._serves(leaves)
        self.uses += 1
        seldom = self.uses in (1, 2, 10, 100, 1000) or self.uses % _EVERY == 0
        comparison = Comparison(self, leaves) if seldom else None
        if comparison is not None:
            taken = comparison.made(args, kwargs)
            if taken is not None:
                return as_tensors(taken.loss)
        try:
            return self._run(leaves)
        except StepFailed as error:
            if comparison is None:
                raise
            comparison.standing.restore()
            raise Failed(error.reason) from error

    def _run(self, leaves: list) -> Any:
        graph = self.graph
        assert graph is not None
        found = answers(graph, self.inputs(leaves))
        for (container, key), tensor in zip(graph.assigned, found[graph.losses :], strict=False):
            container[key] = tensor
        self.numbers.advance()
        if self.cache.gradient and graph.moved is None:
            self._move(found[graph.losses + len(graph.assigned) :])
        return pytree.tree_unflatten(list(found[: graph.losses]), graph.loss_spec)

    def _move(self, gradients: list[Tensor]) -> None:
        """The optimiser's own step."""
        assert self.graph is not None
        optim = self.cache.svi.optim
        for i, gradient in zip(self.graph.with_gradient, gradients, strict=False):
            self.parameters[i].grad = gradient.detach()
        optim(self.parameters)
        if not isinstance(optim, Together):
            zero_grads(self.parameters)
        self.cache.leave(self.parameters)

    def _serves(self, leaves: list) -> None:
        graph = self.graph
        assert graph is not None
        if not self._travelling and _floats(leaves) != self._floats:
            self._travelling = True
            raise Changed("a float among the arguments")
        changed = self.surroundings.changed()
        if changed is None and graph.moved is not None:
            changed = graph.moved.changed()
        if changed is None and self.numbers.changed():
            changed = "the optimiser's numbers"
        if any(map(is_not, _parts(self.cache.svi), self._parts)):
            changed = "a part of the SVI"
        if changed is None and [(p.grad is None, p.requires_grad) for p in self.parameters] != self._pattern:
            changed = "which parameters have a gradient"
        if changed is None and [t.requires_grad for t in graph.outside] != self._asking:
            changed = "which tensors ask for a gradient"
        if any(p._backward_hooks for p in self.parameters):
            raise NotNow("there is a hook on a parameter")
        if changed is None and graph.check is not None and graph.differs(self.inputs(leaves)):
            changed = "a value that the programs read of their arguments"
        store = pyro.get_param_store()._params
        for name, p in self._stored.items():
            if store.get(name) is not p:
                changed = f"the parameter {name}"
        if changed is not None:
            raise Changed(changed)
        if self.cache.gradient and not self.cache.left(self.parameters):
            raise NotNow("there were gradients of other origin before the step, which SVI adds its own to")


def _parts(svi: "CompiledSVI") -> tuple:
    return svi.model, svi.guide, svi.optim, svi.loss, svi.loss_and_grads


def _floats(leaves: list) -> tuple[float, ...]:
    return tuple(leaf for leaf in leaves if isinstance(leaf, float))
