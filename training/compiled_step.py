"""One step of training as one compiled graph, the optimiser in it."""

import copy
import inspect
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from data import Dataset
from elbolab.graph.capture import capture, generators_kept, loss_and_gradients
from elbolab.graph.inductor import compile_graph
from elbolab.graph.torch_internals import as_if_compiling, pytree
from elbolab.graph.trace import CannotCapture, trace
from elbolab.stepping.optimizers import COUNTS, PythonNumbers
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
        self._options = self._current()
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

    def _current(self) -> list[float]:
        """The optimiser's options that the graph takes as tensors."""
        groups = self.state.optimizer.param_groups
        return pytree.tree_leaves([[group[name] for name in self._varying] for group in groups])

    def _fill(self) -> None:
        now = self._current()
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
        memory = [state.optimizer.state.get(p, {}) for p in self._parameters.values()]
        self._memory, self._memory_spec = pytree.tree_flatten(memory)
        named = [(name, value) for one in memory for name, held in one.items() for value in pytree.tree_leaves(held)]
        self._counts = [name in COUNTS for name, value in named if isinstance(value, Tensor)]
        return {
            "parameters": [p.detach() for p in self._parameters.values()],
            "memory": [value for value in self._memory if isinstance(value, Tensor)],
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
        parameters, memory = self._optimized(cells["parameters"], cells["memory"], cells["numbers"], gradients, norm)
        old = [*cells["parameters"], *cells["memory"], *cells["buffers"]]
        for value, new in zip(old, [*parameters, *memory, *buffers], strict=True):
            value.copy_(torch.where(finite, new, value))
        total.add_(torch.where(finite, loss.double() * len(x), 0.0))
        norms.add_(torch.where(finite, norm.double(), 0.0))
        good.add_(finite)
        alive.copy_(finite)

    def _optimized(
        self,
        parameters: Sequence[Tensor],
        memory: Sequence[Tensor],
        numbers: Sequence[Tensor],
        gradients: Sequence[Tensor],
        norm: Tensor,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The parameters and the optimiser's memory after its step, which runs on copies of both."""
        parameters = [value.clone() for value in parameters]
        # Step counts are float32 scalars, eager optimisers compute with them as Python numbers: here, in float64.
        memory = [value.double() if count else value.clone() for value, count in zip(memory, self._counts, strict=True)]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        if self.clip < float("inf"):
            clip_grads_with_norm_(parameters, self.clip, norm, foreach=False)
        waiting = iter(memory)
        leaves = [next(waiting) if isinstance(value, Tensor) else value for value in self._memory]
        stand_ins = dict(zip(map(id, self._parameters.values()), parameters, strict=True))
        optimizer = copy.copy(self.state.optimizer)
        options = [{name: group[name] for name in self._varying} for group in self.state.optimizer.param_groups]
        options = pytree.tree_unflatten([n.clone() for n in numbers], pytree.tree_structure(options))
        optimizer.param_groups = [
            # `capturable` keeps the step count a tensor; Inductor fuses one tensor's operations after the other's.
            {
                **group,
                "foreach": False,
                "fused": False,
                "params": [stand_ins[id(p)] for p in group["params"] if id(p) in stand_ins],
            }
            | ({"capturable": True} if "capturable" in group else {})
            | given
            for group, given in zip(self.state.optimizer.param_groups, options, strict=True)
        ]
        kept = pytree.tree_unflatten(leaves, self._memory_spec)
        optimizer.state = defaultdict(dict, zip(parameters, kept, strict=True))
        with as_if_compiling(), torch.no_grad(), PythonNumbers():
            try:
                inspect.unwrap(type(optimizer).step)(optimizer)
            except CannotCapture as error:
                reads = f"{type(optimizer).__name__} decides by a value, such as its {' or '.join(self._varying)}"
                raise CannotCapture(f"{reads}, which a graph takes as tensors") from error
        after = [optimizer.state[p] for p in parameters]
        if any(
            a is not b and a != b
            for a, b in zip(pytree.tree_leaves(after), leaves, strict=True)
            if not isinstance(b, Tensor)
        ):
            raise CannotCapture(f"{type(optimizer).__name__} counts in Python numbers")
        return parameters, [value for value in pytree.tree_leaves(after) if isinstance(value, Tensor)]


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
