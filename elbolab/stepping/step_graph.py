"""A step of SVI, or an evaluation of its loss, as one graph: the programs, the backward pass and the optimiser."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from pyro import poutine
from torch import Tensor
from torch.fx import GraphModule

from elbolab.graph.capture import generators_kept
from elbolab.graph.inductor import compile_graph
from elbolab.graph.reads import CannotCapture, Dependence
from elbolab.graph.stand_ins import StandIns
from elbolab.graph.torch_internals import make_fx, pytree
from elbolab.graph.trace import pure, said
from elbolab.stepping.closing import closed, guard_shapes, readings
from elbolab.stepping.optimizers import Moved
from elbolab.stepping.surroundings import Surroundings
from elbolab.stepping.untouched import nothing_changed
from elbolab.validation import unvalidated

aten = torch.ops.aten


@dataclass
class StepGraph:
    """What was traced. The graph takes `inputs` and answers losses, what is assigned, gradients, in that order."""

    graph: GraphModule
    parameters: list[Tensor]
    moved: Moved | None
    outside: list[Tensor]
    written: list[int]  # of those outside, which a step writes into
    assigned: list[tuple[Any, Any]]  # containers and keys that get another tensor
    losses: int
    loss_spec: Any
    with_gradient: list[int]  # which parameters
    followed: list[tuple[int, Any, Any]] = field(default_factory=list)  # outside, where an assigned one is next time
    reads: int = 0
    check: Callable[..., Any] | None = None  # the values that were read, of the graph's inputs
    known: list[Tensor] = field(default_factory=list)
    run: Callable[..., Any] | None = None

    @property
    def writes(self) -> bool:
        """Whether a run changes parameters, buffers or the optimiser's memory."""
        return self.moved is not None or bool(self.written)

    def inputs(self, numbers: Sequence[Tensor], arguments: Sequence[Tensor]) -> list[Tensor]:
        memory = [] if self.moved is None else [where[name] for where, name in self.moved.memory]
        for place, container, key in self.followed:
            self.outside[place] = container[key]
        return [*(p.detach() for p in self.parameters), *memory, *numbers, *self.outside, *arguments]

    def compile(self, inputs: Sequence[Tensor]) -> None:
        """Compiles the graph, without the gradients among its answers where it moves the parameters itself.

        Raises:
            CannotCapture: there is no compiler, or an operation that Inductor does not know.
        """
        graph = copy.deepcopy(self.graph)
        output = next(iter(reversed(graph.graph.nodes)))
        kept = self.losses + len(self.assigned) + (len(self.with_gradient) if self.moved is None else 0)
        output.args = (list(output.args[0])[:kept],)
        graph.graph.eliminate_dead_code()
        graph.recompile()
        try:
            self.run = compile_graph(graph, inputs)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise CannotCapture(f"it cannot be compiled: {type(error).__name__}: {reason}") from error

    def differs(self, inputs: Sequence[Tensor]) -> bool:
        """Whether a value that was read while it was traced is another one now."""
        if self.check is None:
            return False
        with torch.no_grad():
            now = self.check(*inputs)
        return not all(map(torch.equal, now, self.known))


def traced(
    call: Callable[..., Any],
    parameters: Sequence[Tensor],
    moved: Moved | None,
    surroundings: Surroundings,
    leaves: Sequence[Any],
    spec: Any,
    numbers: Sequence[Tensor],
) -> StepGraph:
    """Runs `call(*args, **kwargs)`, which asks for gradients by `backward`, once, and makes a graph of it.

    Nothing stays changed: not the generators, parameters, buffers, attributes or plain values.

    Args:
        call: the programs and their loss.
        parameters: what is trained.
        moved: their optimiser; None: the graph gives gradients.
        surroundings: what the programs can see.
        leaves, spec: the arguments, flattened.
        numbers: what the optimiser counts in Python.

    Raises:
        CannotCapture: what is done is no fixed sequence of tensor operations.
    """
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    memory = [] if moved is None else [where[name] for where, name in moved.memory]
    groups = ([p.detach() for p in parameters], memory, list(numbers), [leaves[i] for i in places])
    sizes = [len(group) for group in groups]
    reads = Dependence(range(sum(sizes[:3]), sum(sizes)))
    answer = StepGraph(GraphModule({}, torch.fx.Graph()), list(parameters), moved, [], [], [], 0, None, [])
    stand_ins: list[StandIns] = []

    def function(*inputs: Tensor) -> list[Tensor]:
        values, memory, numbers, tensors = _split(inputs, sizes)
        given = [(p, v.detach().requires_grad_(p.requires_grad)) for p, v in zip(parameters, values, strict=True)]
        stand = StandIns(given, [], reads)
        stand_ins.append(stand)
        arguments = list(leaves)
        for i, tensor in zip(places, tensors, strict=True):
            arguments[i] = tensor
        args, kwargs = pytree.tree_unflatten(arguments, spec)
        with stand, poutine.trace(param_only=True):
            loss = call(*args, **kwargs)
            losses, answer.loss_spec = pytree.tree_flatten(loss)
            losses = [v if isinstance(v, Tensor) else torch.tensor(float(v)) for v in losses]
            assigned = _assigned(surroundings, stand, answer)
        gradients = [None if g is None else g.detach() for g in stand.gradients]
        answer.losses = len(losses)
        answer.with_gradient = [i for i, g in enumerate(gradients) if g is not None]
        now = [v.detach() for v in stand._leaves]
        if moved is not None:
            after, kept = moved(now, memory, numbers, _with_zeros(moved, gradients))
            for value, new in zip([*values, *memory], [*after, *kept], strict=True):
                value.copy_(new)
        moving = [g for g in gradients if g is not None]
        read = [v.detach().clone() for v in reads.tensors]
        answer.reads = len(read)
        ended = [s.detach() for _, s, _ in stand.outside]
        return [*(v.detach().double() for v in losses), *assigned, *moving, *read, *ended]

    examples = [v.detach().clone() for group in groups for v in group]
    with said(), unvalidated(), generators_kept(_device(examples)), nothing_changed(surroundings):
        raw = make_fx(function)(*examples)
        if any(v._version for v in examples[len(examples) - sizes[3] :]):
            raise CannotCapture("the programs write into an argument")
        answer.reads += guard_shapes(raw, reads, len(stand_ins[-1].outside))
        closed(raw, answer, stand_ins[-1])
        examples = [v.detach().clone() for v in (*sum(groups[:3], []), *answer.outside, *groups[3])]
        answer.graph = pure(raw, *examples)
        if answer.reads:
            answer.check = readings(answer)
            given = [*sum(groups[:3], []), *answer.outside, *groups[3]]
            answer.known = [v.clone() for v in answer.check(*(v.detach() for v in given))]
        for container, key in answer.assigned:
            held = [i for i, t in enumerate(answer.outside) if t is container[key]]
            answer.followed += [(i, container, key) for i in held]
    return answer


def _split(inputs: Sequence[Tensor], sizes: Sequence[int]) -> list[list[Tensor]]:
    found, start = [], 0
    for size in sizes:
        found.append(list(inputs[start : start + size]))
        start += size
    return found


def _with_zeros(moved: Moved, gradients: list[Tensor | None]) -> list[Tensor | None]:
    """SVI leaves zeros where a gradient was: what has been moved once goes on moving, by its momentum."""
    return [
        torch.zeros_like(p) if g is None and p.grad is not None else g
        for p, g in zip(moved.parameters, gradients, strict=True)
    ]


def _assigned(surroundings: Surroundings, stand: StandIns, answer: StepGraph) -> list[Tensor]:
    """The tensors that the programs put in other tensors' places, which are put back."""
    changed = surroundings.changed(tensors=False)
    if changed is not None:
        raise CannotCapture(f"the programs change {changed} as they run")
    found = []
    for container, key, now in surroundings.restore():
        if not isinstance(now, Tensor):
            raise CannotCapture(f"the programs put no tensor where one was: {key}")
        answer.assigned.append((container, key))
        found.append(stand.inside(now).detach().clone())
    return found


def _device(tensors: Sequence[Tensor]) -> torch.device:
    return next((t.device for t in tensors if t.device.type == "cuda"), torch.device("cpu"))
