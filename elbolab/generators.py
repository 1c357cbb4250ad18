"""The generators that are not PyTorch's: Python's and NumPy's."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def generator_states() -> tuple:
    """Where they are, for comparison."""
    name, words, *rest = np.random.get_state()
    return name, np.asarray(words).tobytes(), *rest, random.getstate()


@contextmanager
def kept_generators() -> Iterator[None]:
    """Puts them back where they were."""
    before = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        np.random.set_state(before[0])
        random.setstate(before[1])
