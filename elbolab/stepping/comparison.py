"""A step by a graph beside the same step as Pyro takes it, from the same state and generators."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from elbolab.graph.reads import CannotCapture
from elbolab.graph.torch_internals import pytree
from elbolab.stepping import agreement, watching
from elbolab.stepping.optimizers import Moved
from elbolab.stepping.step_graph import StepGraph
from elbolab.stepping.taking import Failed, failure
from elbolab.stepping.watching import Standing, Taken, as_tensors

if TYPE_CHECKING:
    from elbolab.stepping.entry import Entry


class Disagrees(Exception):
    """A graph does not do what the programs do; `loss` is theirs, and the step that they took stands."""

    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.loss = loss


class Comparison:
    """Of an entry's graph with Pyro, for arguments that are at hand."""

    def __init__(self, entry: "Entry", leaves: list) -> None:
        self.entry, self.leaves = entry, leaves
        graph = entry.graph
        assert graph is not None
        memory = [] if graph.moved is None else graph.moved.memory
        self._outside = [graph.outside[i] for i in graph.written]
        self.standing = Standing([*entry.parameters, *self._outside], entry.numbers.places, [*graph.assigned, *memory])

    def made(self, args: tuple, kwargs: dict[str, Any]) -> Taken | None:
        """Takes the step as Pyro does; where the graph does the same, all is as before it.

        What an optimiser of its own has done cannot be taken back: then that step stands, and is returned.

        Raises:
            Disagrees: the graph does something else; the step is taken.
            Failed: the graph raised; no step is taken.
        """
        graph, standing = self.entry.graph, self.standing
        assert graph is not None
        inputs, ended, answers = self._dry(graph.graph, standing)
        start = [v.detach().clone() for v in self.entry.inputs(self.leaves)]
        if graph.run is not None and self.entry.uses == 1:
            try:
                self._same_compiled(graph, standing, (start, inputs, answers[: graph.losses]))
            except (CannotCapture, Failed) as error:  # the compiler's doing: the graph itself is compared below
                graph.run, self.entry.uncompiled = None, f", run operation by operation: compiled, {error}"
        beside = self.entry.surroundings.values()
        taken = self.entry.cache.stock(args, kwargs, keep=True)
        try:
            if self.entry.cache.gradient and {*map(id, taken.parameters)} != {*map(id, self.entry.parameters)}:
                raise CannotCapture("the programs have other parameters than at their first step")
            agreement.same(self._pairs(graph, taken, inputs, answers), precise=self._precise)
            watching.same_draws(ended, watching.generators())
            self.entry.numbers.check()
            changed = self.entry.surroundings.changed()
            known = [*self.entry.parameters, *self._outside]
            for key, tensor, value in beside:
                if not torch.equal(tensor, value) and all(tensor is not other for other in known):
                    changed = f"the tensor {key}"
            if changed is not None:
                raise CannotCapture(f"the programs change {changed} as they run")
            if graph.moved is not None:
                self._same_optimizer(graph.moved, start, taken)
        except CannotCapture as error:
            raise Disagrees(as_tensors(taken.loss)) from error
        if self.entry.cache.gradient and graph.moved is None:
            return taken
        standing.restore()
        return None

    @property
    def _precise(self) -> bool:
        tensors = [*self.entry.parameters, *(self.entry.graph.outside if self.entry.graph else ())]
        return all(t.dtype == torch.float64 for t in tensors if t.is_floating_point())

    def _dry(self, run: Any, standing: Standing) -> tuple[list[Tensor], list[Tensor], Any]:
        """A graph on copies: the copies afterwards, the generators, what it answers."""
        inputs = [v.detach().clone(memory_format=torch.preserve_format) for v in self.entry.inputs(self.leaves)]
        try:
            with torch.no_grad():
                answers = run(*inputs)
            ended = watching.generators()
        except Exception as error:
            raise Failed(failure(error)) from error
        finally:
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
        offset = len(self.entry.parameters) + memory + len(self.entry.numbers.tensors)
        for i in graph.written:
            pairs.append(("a tensor that the programs write into", inputs[offset + i], graph.outside[i].detach()))
        if self.entry.cache.gradient:
            given = dict(zip(map(id, taken.parameters), taken.gradients, strict=True))
            gradients = answers[there + len(graph.assigned) :][: len(graph.with_gradient)]
            found = dict(zip(graph.with_gradient, gradients, strict=True))
            for i, p in enumerate(self.entry.parameters):
                nothing = torch.zeros_like(p)
                one, other = found.get(i), given.get(id(p))
                pairs.append(("a gradient", nothing if one is None else one, nothing if other is None else other))
        return pairs

    def _same_compiled(
        self, graph: StepGraph, standing: Standing, plain: tuple[list[Tensor], list[Tensor], Any]
    ) -> None:
        """The compiled graph does what it does operation by operation, up to the order of sums."""
        start, after, losses = plain
        inputs, _, answers = self._dry(graph.run, standing)
        pairs = [("the loss", a, b) for a, b in zip(answers, losses, strict=False)]
        parameters, memory = len(self.entry.parameters), 0 if graph.moved is None else len(graph.moved.memory)
        # A step of Adam on a gradient that is rounding alone goes anywhere: its memory says what the gradient was.
        for i in range(*((parameters, parameters + memory) if memory else (0, parameters))):
            if start[i].dim():
                pairs.append(("a gradient", inputs[i] - start[i], after[i] - start[i]))
        agreement.same(pairs, precise=self._precise, loose=True)

    def _same_optimizer(self, moved: Moved, start: list[Tensor], taken: Taken) -> None:
        """From the very gradients, the optimiser's step as a function is that of the optimiser."""
        n, m = len(self.entry.parameters), len(moved.memory)
        given = dict(zip(map(id, taken.parameters), taken.gradients, strict=True))
        after, memory = moved(
            start[:n], start[n : n + m], start[n + m : n + m + len(self.entry.numbers.tensors)],
            [given.get(id(p)) for p in self.entry.parameters],
        )  # fmt: skip
        pairs = [
            ("a parameter", a - s, p.detach() - s) for a, p, s in zip(after, self.entry.parameters, start, strict=False)
        ]
        pairs += [("the optimiser's memory", a, w[k]) for a, (w, k) in zip(memory, moved.memory, strict=True)]
        agreement.same(pairs, precise=self._precise, loose=True)
