"""One structure of arguments: its first step, its graph, and the comparisons of the two."""

import warnings
from typing import TYPE_CHECKING, Any

import pyro
import torch
from pyro.infer.util import zero_grads
from torch import Tensor

from elbolab.graph.reads import CannotCapture
from elbolab.graph.torch_internals import pytree
from elbolab.stepping import agreement, watching
from elbolab.stepping.optimizers import Moved, Numbers, OptimizerApart, Together
from elbolab.stepping.step_graph import StepGraph, traced
from elbolab.stepping.surroundings import PLAIN, Surroundings
from elbolab.stepping.watching import Standing, Taken

if TYPE_CHECKING:
    from elbolab.stepping.cache import Cache

_EVERY = 10_000  # steps between two comparisons, in the end


class Changed(Exception):
    """Something that a graph was made for is another thing now; the message names it."""


class Disagrees(Exception):
    """A graph does not do what the programs do; `loss` is theirs, and the step that they took stands."""

    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.loss = loss


class Entry:
    """Steps with arguments of one structure: the first is Pyro's, then there is a graph, or a reason why not."""

    def __init__(self, cache: "Cache", spec: Any) -> None:
        self.cache, self.spec = cache, spec
        self.reason: str | None = None
        self.taken: Taken | None = None
        self.graph: StepGraph | None = None
        self.made = 0
        self._uses = 0
        self._floats: tuple[float, ...] = ()
        self._travelling = False  # floats travel as tensors
        self._optimizer_apart = ""

    def first(self, taken: Taken, leaves: list) -> None:
        """After a step that was Pyro's."""
        self.taken, self._floats = taken, _floats(leaves)

    def refuse(self, reason: str) -> None:
        """From now on Pyro takes the steps; where graphs have taken some, they may have been others."""
        self.reason, self.graph = reason, None
        if self._uses > 1:
            warnings.warn(
                f"a compiled step was not what the programs do, after {self._uses} steps: {reason}", stacklevel=4
            )

    @property
    def described(self) -> str:
        how = "compiled: one graph a step" if self.cache.compile else "captured: one graph a step, not compiled"
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
        self._surroundings = Surroundings(svi.model, svi.guide, cache.loss, *objects)
        self._parameters = [p for p in taken.parameters if p.requires_grad]
        self._pattern = [p.grad is None for p in self._parameters]
        try:
            moved = Moved(svi.optim, self._parameters) if cache.gradient and not self._optimizer_apart else None
            self.graph = graph = self._traced(moved, leaves)
        except OptimizerApart as error:
            self._optimizer_apart = f", and the optimiser's own step: {error}"
            self.graph = graph = self._traced(None, leaves)
        self._uses = 0
        for container, key in graph.assigned:
            self._surroundings.forget(container, key)
        used = {id(p) for p in (*self._parameters, *graph.outside)}
        self._stored = {name: p for name, p in pyro.get_param_store()._params.items() if id(p) in used}
        if cache.compile:
            graph.compile(self._inputs(leaves))

    def _traced(self, moved: Moved | None, leaves: list) -> StepGraph:
        svi, gradient = self.cache.svi, self.cache.gradient
        self._numbers = _Numbers(moved, self._parameters)
        loss = svi.loss_and_grads if gradient else svi.loss
        return traced(
            lambda *args, **kwargs: loss(svi.model, svi.guide, *args, **kwargs),
            self._parameters,
            moved,
            self._surroundings,
            self._given(leaves),
            self.spec,
            self._numbers.tensors,
        )

    def _given(self, leaves: list) -> list:
        """The arguments of the programs: floats that change as tensors."""
        if not self._travelling:
            return leaves
        return [torch.tensor(v, dtype=torch.float64) if isinstance(v, float) else v for v in leaves]

    def _inputs(self, leaves: list) -> list[Tensor]:
        assert self.graph is not None
        arguments = [v for v in self._given(leaves) if isinstance(v, Tensor)]
        return self.graph.inputs(self._numbers.filled(), arguments)

    def __call__(self, leaves: list, args: tuple, kwargs: dict[str, Any]) -> Any:
        """A step by the graph; compared with what Pyro does, now and then.

        Raises:
            Changed: the graph does not serve.
            Disagrees: it is compared, and not the same.
        """
        self._serves(leaves)
        self._uses += 1
        seldom = self._uses in (1, 2, 10, 100, 1000) or self._uses % _EVERY == 0
        if seldom:
            taken = self._compared(leaves, args, kwargs)
            if taken is not None:
                return as_tensors(taken.loss)
        return self._run(leaves)

    def _run(self, leaves: list) -> Any:
        graph = self.graph
        assert graph is not None
        run = graph.run or graph.graph
        with torch.no_grad():
            answers = run(*self._inputs(leaves))
        for (container, key), tensor in zip(graph.assigned, answers[graph.losses :], strict=False):
            container[key] = tensor
        self._numbers.advance()
        if self.cache.gradient and graph.moved is None:
            self._move(answers[graph.losses + len(graph.assigned) :])
        return pytree.tree_unflatten(list(answers[: graph.losses]), graph.loss_spec)

    def _move(self, gradients: list[Tensor]) -> None:
        """The optimiser's own step."""
        assert self.graph is not None
        optim = self.cache.svi.optim
        for i, gradient in zip(self.graph.with_gradient, gradients, strict=False):
            self._parameters[i].grad = gradient.detach()
        optim(self._parameters)
        if not isinstance(optim, Together):
            zero_grads(self._parameters)

    def _serves(self, leaves: list) -> None:
        graph = self.graph
        assert graph is not None
        if not self._travelling and _floats(leaves) != self._floats:
            self._travelling = True
            raise Changed("a float among the arguments")
        changed = self._surroundings.changed()
        if changed is None and graph.moved is not None:
            changed = graph.moved.changed()
        if changed is None and self._numbers.changed():
            changed = "the optimiser's numbers"
        if changed is None and [p.grad is None for p in self._parameters] != self._pattern:
            changed = "which parameters have a gradient"
        if changed is None and any(p._backward_hooks for p in self._parameters):
            raise CannotCapture("there is a hook on a parameter")
        if changed is None and (graph.reads or graph.read_arguments):
            arguments = [v for v in self._given(leaves) if isinstance(v, Tensor)]
            changed = "a value that the programs read of their arguments" if graph.differs(arguments) else None
        store = pyro.get_param_store()._params
        for name, p in self._stored.items():
            if store.get(name) is not p:
                changed = f"the parameter {name}"
        if changed is not None:
            raise Changed(changed)

    def _compared(self, leaves: list, args: tuple, kwargs: dict[str, Any]) -> Taken | None:
        """Takes the step as Pyro does; where the graph does the same, all is as before it.

        What an optimiser of its own has done cannot be taken back: then that step stands, and is returned.
        """
        graph = self.graph
        assert graph is not None
        memory = [] if graph.moved is None else graph.moved.memory
        outside = [graph.outside[i] for i in graph.written]
        standing = Standing([*self._parameters, *outside], self._numbers.places, [*graph.assigned, *memory])
        inputs, ended, answers = self._dry(graph.graph, leaves, standing)
        start = [v.detach().clone() for v in self._inputs(leaves)]
        if graph.run is not None and self._uses == 1:
            self._same_compiled(graph, leaves, standing, (start, inputs, answers[: graph.losses]))
        beside = self._surroundings.values()
        taken = self.cache.stock(args, kwargs, keep=True)
        try:
            agreement.same(self._pairs(graph, taken, inputs, answers), precise=self._precise)
            watching.same_draws(ended, watching.generators())
            self._numbers.check()
            changed = self._surroundings.changed()
            known = [*self._parameters, *outside]
            for key, tensor, value in beside:
                if not torch.equal(tensor, value) and all(tensor is not other for other in known):
                    changed = f"the tensor {key}"
            if changed is not None:
                raise CannotCapture(f"the programs change {changed} as they run")
            if graph.moved is not None:
                self._same_optimizer(graph.moved, start, taken)
        except CannotCapture as error:
            raise Disagrees(as_tensors(taken.loss)) from error
        if self.cache.gradient and graph.moved is None:
            return taken
        standing.restore()
        return None

    @property
    def _precise(self) -> bool:
        tensors = [*self._parameters, *(self.graph.outside if self.graph else ())]
        return all(t.dtype == torch.float64 for t in tensors if t.is_floating_point())

    def _dry(self, run: Any, leaves: list, standing: Standing) -> tuple[list[Tensor], list[Tensor], Any]:
        """A graph on copies: the copies afterwards, the generators, what it answers."""
        inputs = [v.detach().clone(memory_format=torch.preserve_format) for v in self._inputs(leaves)]
        with torch.no_grad():
            answers = run(*inputs)
        ended = watching.generators()
        watching.set_generators(standing.generators)
        return inputs, ended, answers

    def _pairs(self, graph: StepGraph, taken: Taken, inputs: list[Tensor], answers: Any) -> list[agreement.Named]:
        """What the graph gave beside what Pyro gave."""
        losses = pytree.tree_leaves(as_tensors(taken.loss))
        pairs = [("the loss", a, b) for a, b in zip(answers, losses, strict=False)]
        there = graph.losses
        for (container, key), found in zip(graph.assigned, answers[there:], strict=False):
            pairs.append((f"the tensor {key}", found, container[key].detach()))
        memory = 0 if graph.moved is None else len(graph.moved.memory)
        offset = len(self._parameters) + memory + len(self._numbers.tensors)
        for i in graph.written:
            pairs.append(("a tensor that the programs write into", inputs[offset + i], graph.outside[i].detach()))
        if self.cache.gradient:
            given = dict(zip(map(id, taken.parameters), taken.gradients, strict=True))
            found = dict(zip(graph.with_gradient, answers[there + len(graph.assigned) :], strict=True))
            for i, p in enumerate(self._parameters):
                nothing = torch.zeros_like(p)
                one, other = found.get(i), given.get(id(p))
                pairs.append(("a gradient", nothing if one is None else one, nothing if other is None else other))
        return pairs

    def _same_compiled(
        self, graph: StepGraph, leaves: list, standing: Standing, plain: tuple[list[Tensor], list[Tensor], Any]
    ) -> None:
        """The compiled graph does what it does operation by operation, up to the order of sums."""
        start, after, losses = plain
        inputs, _, answers = self._dry(graph.run, leaves, standing)
        pairs = [("the loss", a, b) for a, b in zip(answers, losses, strict=False)]
        parameters, memory = len(self._parameters), 0 if graph.moved is None else len(graph.moved.memory)
        # A step of Adam on a gradient that is rounding alone goes anywhere: its memory says what the gradient was.
        for i in range(*((parameters, parameters + memory) if memory else (0, parameters))):
            if start[i].dim():
                pairs.append(("a gradient", inputs[i] - start[i], after[i] - start[i]))
        agreement.same(pairs, precise=self._precise, loose=True)

    def _same_optimizer(self, moved: Moved, start: list[Tensor], taken: Taken) -> None:
        """From the very gradients, the optimiser's step as a function is that of the optimiser."""
        n, m = len(self._parameters), len(moved.memory)
        given = dict(zip(map(id, taken.parameters), taken.gradients, strict=True))
        after, memory = moved(
            start[:n], start[n : n + m], start[n + m : n + m + len(self._numbers.tensors)],
            [given.get(id(p)) for p in self._parameters],
        )  # fmt: skip
        pairs = [
            ("a parameter", a - s, p.detach() - s) for a, p, s in zip(after, self._parameters, start, strict=False)
        ]
        pairs += [("the optimiser's memory", a, w[k]) for a, (w, k) in zip(memory, moved.memory, strict=True)]
        agreement.same(pairs, precise=self._precise, loose=True)


class _Numbers:
    """An optimiser's Python numbers as tensors: those that are equal, and stay so, are one."""

    def __init__(self, moved: Moved | None, parameters: list[Tensor]) -> None:
        self._numbers = moved.numbers if moved else Numbers()
        self.places = self._numbers.places
        kinds: dict[tuple, int] = {}
        laws = zip(self._numbers.values(), self._numbers.factors, self._numbers.terms, strict=True)
        self._numbers.groups = [kinds.setdefault(law, len(kinds)) for law in laws]
        device = parameters[0].device if parameters else torch.device("cpu")
        self._tensor = torch.tensor([law[0] for law in kinds], dtype=torch.float64, device=device)
        self.tensors = list(self._tensor.unbind())
        self._last = [float(law[0]) for law in kinds]

    def changed(self) -> bool:
        """Whether some that were equal are so no longer."""
        now: dict[int, float] = {}
        return any(
            now.setdefault(group, value) != value
            for group, value in zip(self._numbers.groups, self._numbers.values(), strict=True)
        )

    def filled(self) -> list[Tensor]:
        """The numbers as they are now."""
        now = list(self._last)
        for group, value in zip(self._numbers.groups, self._numbers.values(), strict=True):
            now[group] = float(value)
        if now != self._last:
            self._tensor.copy_(torch.tensor(now, dtype=torch.float64))
            self._last = now
        self._predicted = self._numbers.predicted()
        return self.tensors

    def advance(self) -> None:
        self._numbers.advance()

    def check(self) -> None:
        """
        Raises:
            CannotCapture: a step made something else of them than is known of the optimiser.
        """
        if self._numbers.values() != self._predicted:
            raise CannotCapture("the optimiser counts in a way that is not known")


def _floats(leaves: list) -> tuple[float, ...]:
    return tuple(leaf for leaf in leaves if isinstance(leaf, float))


def as_tensors(loss: Any) -> Any:
    """Numbers as 0-dimensional tensors in float64."""
    return pytree.tree_map(
        lambda v: v.detach().double() if isinstance(v, Tensor) else torch.tensor(v, dtype=torch.float64), loss
    )
