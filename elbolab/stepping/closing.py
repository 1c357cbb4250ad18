"""A traced step as a closed graph: what comes from outside is an input, what is read an answer."""

import copy
from typing import TYPE_CHECKING

import torch
from torch.fx import GraphModule, Node

from elbolab.graph.reads import CannotCapture, Dependence, shaped_by_values
from elbolab.graph.stand_ins import StandIns

if TYPE_CHECKING:
    from elbolab.stepping.step_graph import StepGraph

aten = torch.ops.aten


def guard_shapes(graph: GraphModule, reads: Dependence, after: int) -> int:
    """What decides shapes is read as well: an answer more each, before those `after` it; how many."""
    output = next(iter(reversed(graph.graph.nodes)))
    answers, more = list(output.args[0]), []
    for node, what in list(shaped_by_values(graph.graph)):
        reads.add_node(node, what)
        with graph.graph.inserting_before(output):
            counted = "val" in node.meta and node.meta["val"].dtype == torch.bool
            more.append(graph.graph.call_function(aten.sum.default, (node,)) if counted else node)
    place = len(answers) - after
    output.args = ([*answers[:place], *more, *answers[place:]],)
    return len(more)


def readings(answer: "StepGraph") -> GraphModule:
    """The part of the graph that computes what was read."""
    graph = copy.deepcopy(answer.graph)
    output = next(iter(reversed(graph.graph.nodes)))
    output.args = (list(output.args[0])[-answer.reads :],)
    for node in reversed(list(graph.graph.nodes)):  # draws and writes too: to look must leave no trace
        if not node.users and node.op not in ("placeholder", "output"):
            graph.graph.erase_node(node)
    graph.recompile()
    return graph


def closed(graph: GraphModule, answer: "StepGraph", stand: StandIns) -> None:
    """Tensors from outside become inputs, before the arguments; what is written into them is the graph's to write."""
    nodes = list(graph.graph.nodes)
    placeholders = [node for node in nodes if node.op == "placeholder"]
    output = nodes[-1]
    answers = list(output.args[0])
    ended = answers[len(answers) - len(stand.outside) :]
    before = placeholders[len(placeholders) - _arguments(stand) :]
    first = before[0] if before else next(n for n in nodes if n.op != "placeholder")
    inputs: list[Node] = []
    for node in nodes:
        if node.op != "get_attr" or _fresh(node):
            continue
        tensor = getattr(graph, str(node.target))
        known = next((i for i, t in enumerate(answer.outside) if t is tensor), None)
        if known is None:
            known = len(answer.outside)
            answer.outside.append(tensor)
            with graph.graph.inserting_before(first):
                new = graph.graph.placeholder(f"outside_{known}")
            new.meta = dict(node.meta)
            if "val" not in new.meta:
                new.meta["val"] = tensor
            inputs.append(new)
        node.replace_all_uses_with(inputs[known])
        graph.graph.erase_node(node)
    for (tensor, _, copied), end in zip(stand.outside, ended, strict=True):
        place = next((i for i, t in enumerate(answer.outside) if t is tensor), None)
        if place is None or _same(end, copied):
            continue
        if sum(t.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr() for t in answer.outside) > 1:
            raise CannotCapture("the programs write into a tensor that another one is a view of")
        answer.written.append(place)
        with graph.graph.inserting_before(output):
            graph.graph.call_function(aten.copy_.default, (inputs[place], end))
    output.args = (answers[: len(answers) - len(stand.outside)],)
    graph.recompile()


def _arguments(stand: StandIns) -> int:
    return len(stand.reads.arguments)


def _same(end: Node, copied: Node) -> bool:
    while end is not copied and end.target in (aten.detach.default, aten.alias.default) and end.op == "call_function":
        end = end.args[0]  # type: ignore[assignment]
    return end is copied


def _fresh(node: Node) -> bool:
    """Whether a constant was made by the programs themselves, as `torch.tensor(0.5)` is."""
    return all("lift_fresh" in str(user.target) for user in node.users)
