"""Packages that are not installed: something stands in for them, and only a loss that touches it is stopped."""

import sys
from abc import ABCMeta
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from torch import nn

FRAMEWORKS = {
    "jax": "JAX",
    "flax": "JAX",
    "optax": "JAX",
    "tensorflow": "TensorFlow",
    "tf": "TensorFlow",
    "keras": "Keras",
    "tensorflow_probability": "TensorFlow",
    "mlx": "MLX",
    "paddle": "Paddle",
    "mxnet": "MXNet",
    "theano": "Theano",
    "chainer": "Chainer",
}


class Missing(ImportError):
    """A loss touches a package that is not installed."""


class _Absent(ABCMeta):
    """Any attribute of what is not there is a class that is not there either: it can be inherited from."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return absent(f"{cls._path}.{name}")

    def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
        if "_path" not in vars(cls):  # somebody's class, derived from what is absent
            return super().__call__(*arguments, **keywords)
        if not keywords and _decorates(arguments):
            return arguments[0]
        return _Made(cls._path)

    def __iter__(cls) -> Iterator[Any]:
        raise Missing(_touched(cls._path))


def _untouchable(cls: Any, *_: Any) -> Any:
    raise Missing(_touched(cls._path))


for _name in (
    "add",
    "sub",
    "mul",
    "truediv",
    "pow",
    "lt",
    "le",
    "gt",
    "ge",
    "radd",
    "rsub",
    "rmul",
    "rtruediv",
    "rpow",
):
    setattr(_Absent, f"__{_name}__", _untouchable)  # a constant of a module that is absent, as in BETA * kl


class _Made:
    """What a call of an absent function gave: a decorator, perhaps; nothing to calculate with."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, *arguments: Any, **_: Any) -> Any:
        if _decorates(arguments):
            return arguments[0]
        raise Missing(_touched(self._path))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Missing(_touched(self._path))

    @classmethod
    def __torch_function__(cls, *_: Any, **__: Any) -> Any:
        raise Missing("the loss calculates with what a package that is not installed would have given")


def _decorates(arguments: tuple[Any, ...]) -> bool:
    return len(arguments) == 1 and (isinstance(arguments[0], type) or hasattr(arguments[0], "__code__"))


def _touched(path: str) -> str:
    package = path.split(".")[0]
    framework = FRAMEWORKS.get(package)
    if framework:
        return needs_torch(framework)
    return f"the loss uses {path}, and {package} is not installed"


def needs_torch(framework: str) -> str:
    return f"this is a {framework} loss, and the audit needs one of PyTorch: rewrite its two terms with torch"


def absent(path: str) -> Any:
    base = nn.Module if path.rsplit(".", 1)[-1].endswith(("Module", "Mixin", "Model")) else object
    name = path.rsplit(".", 1)[-1]
    if base is nn.Module:
        return type(name, (nn.Module,), {"__module__": path})
    return _Absent(name, (), {"_path": path, "__module__": path})


class _Stub(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)
        return "0" if name == "__version__" else absent(f"{self.__name__}.{name}")


class Stubs(MetaPathFinder, Loader):
    """Finds what nothing else finds; `made` are the packages that it stood in for."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = roots
        self.made: list[str] = []

    def _asked_by_theirs(self) -> bool:
        """Does one of the user's files import it? What an installed package does without is its own affair."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and ("importlib" in frame.f_code.co_filename or frame.f_code.co_filename == __file__):
            frame = frame.f_back
        if frame is None:
            return False
        path = Path(frame.f_code.co_filename)
        return "site-packages" not in path.parts and any(root in path.parents for root in self.roots)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        parent = sys.modules.get(name.rpartition(".")[0])
        if not isinstance(parent, _Stub) and not self._asked_by_theirs():
            return None
        if parent is not None and not isinstance(parent, _Stub) and name.split(".")[0] in ("torch", "numpy", "elbolab"):
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self.made.append(spec.name)
        return _Stub(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


@contextmanager
def stubbed(roots: Sequence[Path]) -> Iterator[Stubs]:
    """While a file is loaded; what was made is forgotten again, so that nobody else finds it."""
    stubs = Stubs(roots)
    sys.meta_path.append(stubs)
    try:
        yield stubs
    finally:
        sys.meta_path.remove(stubs)
        for name in stubs.made:
            sys.modules.pop(name, None)
