"""Programs can be run to be traced, and nothing of it is left: not in Pyro's store, nor in Python's generators."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import pyro
from torch.distributions import Distribution

from elbolab.generators import generator_states, kept_generators
from elbolab.graph.reads import CannotCapture
from elbolab.stepping.surroundings import Surroundings


@contextmanager
def nothing_changed(surroundings: Surroundings) -> Iterator[None]:
    """Puts back what programs change besides tensors, and refuses what cannot be in a graph."""
    store = pyro.get_param_store()
    before = dict(store._params), dict(store._param_to_name), dict(store._constraints)
    elsewhere = generator_states()
    with ExitStack() as stack:
        stack.enter_context(kept_generators())
        stack.enter_context(mock.patch.object(Distribution, "_validate_sample"))
        try:
            yield
            new = dict(store._params)
            if new.keys() != before[0].keys() or any(new[name] is not before[0][name] for name in new):
                raise CannotCapture("the programs make or replace parameters in Pyro's store at every step")
            if generator_states() != elsewhere:
                raise CannotCapture("the programs draw from the generators of Python or NumPy")
        finally:
            surroundings.restore()
            store._params, store._param_to_name, store._constraints = before
