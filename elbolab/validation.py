"""Pyro's and PyTorch's validation, off for a while and then as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyro

_VALUES = ("validate_distributions_pyro", "validate_distributions_torch")
_HANDLERS = ("validate_poutine", "validate_infer")


@contextmanager
def unvalidated(*, handlers: bool = True) -> Iterator[None]:
    """Without the validation of distributions' values, which reads them back; `handlers`: nor Pyro's own checks.

    Each setting has a value of its own, which it has again afterwards: `pyro.enable_validation` gives PyTorch's
    Pyro's.
    """
    before = {name: pyro.settings.get(name) for name in (*_VALUES, *(_HANDLERS if handlers else ()))}
    pyro.settings.set(**dict.fromkeys(before, False))
    try:
        yield
    finally:
        pyro.settings.set(**before)
