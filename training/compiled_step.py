"""One step of training as one compiled graph, the optimiser in it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from data import Dataset
from elbolab.graph.capture import capture, generators_kept, loss_and_gradients
from elbolab.graph.inductor import compile_graph
from elbolab.graph.torch_internals import pytree
from elbolab.graph.trace import CannotCapture, trace
from elbolab.stepping.optimizers import Moved, Numbers, OptimizerApart, Together
from training.eager_step import Eager, Step
from training.state import State


class Compiled(Step):
    """Batch, objective, gradients, finite check, clipping and optimiser as one graph, for batches of one size.

    The graph writes into the tensors of the State; nothing is read back until it is looked at. On CUDA it is replayed
    as a CUDA graph. Other batch sizes, such as an epoch's last, take the eager step.
    """

    def __init__(
        self, state: State, dataset: Dataset, clip: float, index: Tensor, *, varying: Sequence[str] = ()
    ) -> None:
        """
        Args:
            state, dataset, clip: what is trained and where it stands, on what, and the largest norm of a gradient.
            index: of some batch of the size that is compiled for.
            varying: options of the optimiser, beside its learning rate, that are others from step to step.

        Raises:
            CannotCapture: the objective or the optimiser is no fixed sequence of tensor operations.
        """
        super().__init__(state, dataset, clip)
        self._eager = Eager(state, dataset, clip)
        self._rows, where = dataset.source(index)
        self._index = where.clone()
        self._varying = tuple(dict.fromkeys(("lr", *varying)))
        self._options, self._numbers_spec = pytree.tree_flatten(self._current())
        self._numbers = [torch.tensor(v, dtype=torch.float64, device=state.device) for v in self._options]
        self._good = torch.tensor(state.step, device=state.device)
        self._alive = torch.tensor(True, device=state.device)
        with generators_kept(state.device):
            self._run = self._built()

    def _built(self) -> Callable[..., Any]:
        capture(
            self.state.objective, replace(self.dataset, train=self._rows).batch(self._index)
        )  # says what is wrong, if something is, in its words
        self._cells = self._tensors()
        inputs = [*pytree.tree_leaves(self._cells), self._rows, self._index]
        graph = trace(self._flat, *(value.clone() for value in inputs[:-2]), *inputs[-2:])
        try:
            run = compile_graph(graph, inputs)
        except Exception as error:  # no compiler, or an operation that Inductor does not know: in its own words
            reason = str(error).strip().splitlines()[0]
            raise CannotCapture(f"it cannot be compiled: {type(error).__name__}: {reason}") from error
        self._inputs = inputs
        return _replayed(run, inputs) if self.state.device.type == "cuda" else run

    def __call__(self, index: Tensor) -> None:
        if len(index) == len(self._index):
            rows, where = self.dataset.source(index)
            if rows is not self._rows:  # the graph reads where it was compiled to read
                self._rows.copy_(rows)
            self._index.copy_(where)
            self._fill()
            with torch.no_grad():
                self._run(*self._inputs)
            self.state.step += 1
        elif self.finite(look=True):
            self._eager(index)
            self._good.fill_(self.state.step)
            self._alive.fill_(self._eager.finite(look=True))

    def finite(self, *, look: bool) -> bool:
        if not look:
            return True
        self.state.step = int(self._good)  # reading it back is the one time that the host waits for the device
        return bool(self._alive)

    def _current(self) -> list[dict[str, Any]]:
        """The optimiser's options that the graph takes as tensors."""
        return [{name: group[name] for name in self._varying} for group in self.state.optimizer.param_groups]

    def _fill(self) -> None:
        now = pytree.tree_leaves(self._current())
        for tensor, value, before in zip(self._numbers, now, self._options, strict=True):
            if value != before:
                tensor.fill_(value)
        self._options = now

    def _tensors(self) -> dict[str, Any]:
        """All that a step writes into, the very tensors: what they are called does not matter, their order does."""
        state, objective = self.state, self.state.objective
        self._buffers = dict(objective.named_buffers())
        # A parameter that the objective does not use has no gradient, and no place in the optimiser's memory.
        self._parameters = {n: p for n, p in objective.named_parameters() if p.requires_grad}
        if any(state.optimizer.state.values()):
            self._parameters = {n: p for n, p in self._parameters.items() if state.optimizer.state.get(p)}
        self._moved = Moved(Together.of(state.optimizer), list(self._parameters.values()))
        if any(name != "lr" for _, name in self._moved.numbers.places):
            raise CannotCapture(f"{type(state.optimizer).__name__} counts in Python numbers")
        self._moved.numbers = Numbers()  # the learning rate is among the options that the graph is given
        return {
            "parameters": [p.detach() for p in self._parameters.values()],
            "memory": [where[name] for where, name in self._moved.memory],
            "buffers": list(self._buffers.values()),
            "tally": [state.total, state.norms, self._good, self._alive],
            "numbers": self._numbers,
        }

    def _flat(self, *inputs: Tensor) -> None:
        cells = pytree.tree_unflatten(inputs[:-2], pytree.tree_structure(self._cells))
        train, index = inputs[-2:]
        x = replace(self.dataset, train=train).batch(index)
        names = tuple(self._parameters), tuple(self._buffers)
        values = cells["parameters"], cells["buffers"]
        loss, gradients, buffers = loss_and_gradients(self.state.objective, names, values, x, count=len(x))
        norm = get_total_norm(gradients, foreach=False)
        total, norms, good, alive = cells["tally"]
        finite = alive & (loss + norm).isfinite()
        parameters, memory = self._optimized(cells, gradients, norm)
        old = [*cells["parameters"], *cells["memory"], *cells["buffers"]]
        for value, new in zip(old, [*parameters, *memory, *buffers], strict=True):
            value.copy_(torch.where(finite, new, value))
        total.add_(torch.where(finite, loss.double() * len(x), 0.0))
        norms.add_(torch.where(finite, norm.double(), 0.0))
        good.add_(finite)
        alive.copy_(finite)

    def _optimized(
        self, cells: dict[str, Any], gradients: Sequence[Tensor], norm: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The parameters and the optimiser's memory after its step, which runs on copies of both."""
        if self.clip < math.inf:
            holders = [torch.empty_like(g) for g in gradients]
            for holder, gradient in zip(holders, gradients, strict=True):
                holder.grad = gradient
            clip_grads_with_norm_(holders, self.clip, norm, foreach=False)
        options = pytree.tree_unflatten([n.clone() for n in cells["numbers"]], self._numbers_spec)
        try:
            return self._moved(cells["parameters"], cells["memory"], [], gradients, options)
        except OptimizerApart as error:
            reads = f"decides by a value, such as its {' or '.join(self._varying)}, which a graph takes as tensors"
            name = type(self.state.optimizer).__name__
            raise CannotCapture(f"{name} {reads}, or does what is no tensor operation ({error})") from error


def _replayed(run: Callable[..., Any], inputs: Sequence[Tensor]) -> Callable[..., Any]:
    """The same as a CUDA graph on these very tensors: one launch, whatever is in it."""
    kept = [value.clone() for value in inputs[:-2]]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream), torch.no_grad():
        for _ in range(3):  # libraries choose their workspaces before a graph may be recorded
            run(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    for value, before in zip(inputs[:-2], kept, strict=True):
        value.copy_(before)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), torch.no_grad():
        run(*inputs)
    return lambda *_: graph.replay()
