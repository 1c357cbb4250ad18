"""Optimisers that compute with tensors where they are written for Python's numbers."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from pyro.optim import adagrad_rmsprop as adagrad
from pyro.optim import clipped_adam
from pyro.optim import dct_adam as dct
from torch import Tensor
from torch.overrides import TorchFunctionMode

_COUNT_IN_PYTHON = (clipped_adam, dct, adagrad)  # modules whose `math` meets tensors where it met Python's numbers


class PythonNumbers(TorchFunctionMode):
    """Numbers that are tensors here, where PyTorch takes numbers alone: `addcdiv_(a, b, value=number)`."""

    begun = False  # whether what is asked is if this is the first step: it is not

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name == "__bool__" and self.begun:
            return False
        if name in ("addcdiv_", "addcmul_") and isinstance(kwargs.get("value"), Tensor):
            target, a, b = args
            return target.add_(kwargs["value"] * a / b if name == "addcdiv_" else kwargs["value"] * a * b)
        if name in ("add_", "add", "sub_", "sub") and isinstance(kwargs.get("alpha"), Tensor):
            return func(args[0], args[1] * kwargs.pop("alpha"))
        if name == "__get__" and func == Tensor.data.__get__:  # type: ignore[attr-defined]
            return args[0].detach()
        return func(*args, **kwargs)


@contextmanager
def tensor_math() -> Iterator[None]:
    """Pyro's own optimisers take square roots by `math`."""
    with ExitStack() as stack:
        for module in _COUNT_IN_PYTHON:
            if hasattr(module, "math"):
                stack.enter_context(mock.patch.object(module, "math", torch))
        yield
