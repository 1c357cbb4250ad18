"""Whose line a function of PyTorch's is called from: the user's, or one of PyTorch's, Pyro's or this library's own."""

from pathlib import Path
from types import FrameType
from typing import Any

import pyro
import torch
from torch.utils._python_dispatch import TorchDispatchMode

_TORCH, _PYRO = (str(Path(module.__file__ or "").parent) for module in (torch, pyro))
_HERE = str(Path(__file__).parent.parent)
# Where PyTorch only hands a call on.
_HANDED_ON = tuple(
    f"{_TORCH}/{name}" for name in ("overrides.py", "_tensor.py", "functional.py", "autograd/__init__.py")
)
_SWITCHES = tuple(f"{_TORCH}/{name}" for name in ("autograd/grad_mode.py", "utils/_contextlib.py"))


class Draws(TorchDispatchMode):
    """Counts the operations that take from a generator, those inside compiled and scripted networks too."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        self.count += torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))


def asking(frame: FrameType | None) -> str:
    """The line of the user's that a function of PyTorch's works for; empty where a distribution's code or Pyro's is."""
    while frame is not None and frame.f_code.co_filename.startswith((_TORCH, __file__)):
        if frame.f_code.co_filename.startswith(f"{_TORCH}/distributions"):
            return ""
        frame = frame.f_back
    return _line(frame)


def nearest(frame: FrameType | None) -> str:
    """The innermost line that is the user's; empty where there is none."""
    while frame is not None and not _line(frame):
        frame = frame.f_back
    return _line(frame)


def calling(frame: FrameType | None, through: tuple[str, ...] = _HANDED_ON) -> str:
    """The line of the user's that calls a function of PyTorch's itself; empty where somebody else does."""
    while frame is not None and frame.f_code.co_filename.startswith(through):
        frame = frame.f_back
    return _line(frame)


def switching(frame: FrameType | None) -> str:
    """The line of the user's that turns gradients off; empty where somebody else does."""
    return calling(frame, _SWITCHES)


def _line(frame: FrameType | None) -> str:
    if frame is None or frame.f_code.co_filename.startswith((_TORCH, _PYRO, f"{_HERE}/")):
        return ""
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
