"""Programs can be run to be traced, and nothing of it is left: not in Pyro's store, nor in Python's generators."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pyro
from torch.distributions import Distribution

from elbolab.graph.reads import CannotCapture
from elbolab.stepping.surroundings import Surroundings


@contextmanager
def nothing_changed(surroundings: Surroundings) -> Iterator[None]:
    """Puts back what programs change besides tensors, and refuses what cannot be in a graph."""
    store = pyro.get_param_store()
    before = dict(store._params), dict(store._param_to_name), dict(store._constraints)
    python, numpys = random.getstate(), np.random.get_state()
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(Distribution, "_validate_sample"))
        try:
            yield
            new = dict(store._params)
            if new.keys() != before[0].keys() or any(new[name] is not before[0][name] for name in new):
                raise CannotCapture("the programs make or replace parameters in Pyro's store at every step")
            if random.getstate() != python or not _alike(np.random.get_state(), numpys):
                raise CannotCapture("the programs draw from the generators of Python or NumPy")
        finally:
            surroundings.restore()
            store._params, store._param_to_name, store._constraints = before
            random.setstate(python)
            np.random.set_state(numpys)


def _alike(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
