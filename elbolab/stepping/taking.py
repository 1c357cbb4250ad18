"""A graph is run; where that raises, what is known of the state that it leaves."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elbolab.stepping.step_graph import StepGraph
from elbolab.stepping.watching import generators, set_generators


class Failed(Exception):
    """A graph raised, and all is as it was before; the message says how."""


class StepFailed(RuntimeError):
    """A compiled step raised as it ran, and may have moved some parameters and not others; `reason` is its error.

    A program of the user's is called, and so fails, before anything is moved; machine code moves where it computes.
    What serves is to go on from what was saved before, with `compile=False`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"a compiled step {reason}: parameters, buffers and the optimiser may have been moved in part; go on from"
            " what was saved before, with compile=False"
        )
        self.reason = reason


def answers(graph: StepGraph, inputs: Sequence[Tensor]) -> Any:
    """What the graph answers, compiled where it is.

    Raises:
        Failed: it raised, and changed nothing.
        StepFailed: it raised, and may have.
    """
    if graph.run is not None and graph.writes:  # nothing is kept for this case: a copy of all would cost a step
        try:
            with torch.no_grad():
                return graph.run(*inputs)
        except Exception as error:
            raise StepFailed(failure(error)) from error
    draws, versions = generators(), [value._version for value in inputs]
    try:
        with torch.no_grad():
            return (graph.run or graph.graph)(*inputs)
    except Exception as error:
        if [value._version for value in inputs] != versions:
            raise StepFailed(failure(error)) from error
        set_generators(draws)
        raise Failed(failure(error)) from error


def failure(error: Exception) -> str:
    """In one line."""
    reason = (str(error).strip().splitlines() or [""])[0]
    return f"failed as it ran: {type(error).__name__}: {reason}"
