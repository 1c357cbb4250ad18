"""Imports somebody's file as part of its package, beside its neighbours, with a sys.argv of its own."""

import ast
import importlib.util
import linecache
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from elbolab.auditing.loading.packages import absent, stubbed
from elbolab.auditing.loading.source import definitions, source_of
from elbolab.auditing.probe.guard import Left, TimeUp, guarded, time_limited
from elbolab.auditing.probe.serving import Unserved
from elbolab.auditing.probe.standins import Unrun

LIMIT = 120.0  # seconds that imports may take


@dataclass(frozen=True)
class Loaded:
    """A module, and what stands in for packages and values that it would have."""

    module: ModuleType
    tree: ast.Module
    absent: tuple[str, ...] = ()

    @property
    def own(self) -> list[str]:
        """The functions and classes that are written in it, in their order."""
        kinds = (ast.FunctionDef, ast.ClassDef)
        return [node.name for node in self.tree.body if isinstance(node, kinds)]


class _Definitions(SourceFileLoader):
    """Runs what defines something, and lets the rest stand in; `lenient` lets what cannot be run stand in as well."""

    lenient = False

    def get_code(self, fullname: str) -> CodeType:
        tree, _ = definitions(ast.parse(source_of(Path(self.path)), self.path))
        return compile(tree, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        path = Path(self.path)
        text = source_of(path)
        tree = ast.parse(text, self.path)
        # Where a notebook's functions are to be read, the source is its cells.
        linecache.cache[self.path] = (len(text), None, text.splitlines(keepends=True), self.path)
        kept, left = definitions(tree)
        future = [s for s in kept.body if isinstance(s, ast.ImportFrom) and s.module == "__future__"]
        apart = [[*future, s] for s in kept.body if s not in future]
        for part in apart if self.lenient else [kept.body]:
            self._run(part, module)
        names = {n.id for s in tree.body if isinstance(s, ast.Assign) for n in ast.walk(s) if isinstance(n, ast.Name)}
        for name, value in left.items():
            module.__dict__.setdefault(name, _lazily(value, name, module))
        for name in names - set(module.__dict__) - set(left):
            if any(isinstance(s, ast.Assign) and _assigns(s, name) for s in tree.body):
                module.__dict__[name] = Unrun(name)
        stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        stored |= {n.name for n in ast.walk(tree) if isinstance(n, (ast.ClassDef, ast.FunctionDef))}

        def __getattr__(wanted: str) -> Any:
            """A name that the file makes somewhere, in a part of it that was not run."""
            if wanted in stored and not wanted.startswith("__"):
                return absent(f"{module.__name__}.{wanted}")
            raise AttributeError(f"module {module.__name__!r} has no attribute {wanted!r}")

        module.__dict__.setdefault("__getattr__", __getattr__)

    def _run(self, statements: list[ast.stmt], module: ModuleType) -> None:
        code = compile(ast.Module(statements, []), self.path, "exec", dont_inherit=True)
        try:
            exec(code, module.__dict__)  # noqa: S102 the user's own
        except Exception:
            if not self.lenient:
                raise
            # A neighbour may have no part in the loss: only what the loss then touches stops it.
            for node in ast.walk(statements[-1]):
                if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                    module.__dict__.setdefault(node.name, absent(f"{module.__name__}.{node.name}"))
                elif isinstance(node, ast.alias):
                    name = (node.asname or node.name).split(".")[0]
                    module.__dict__.setdefault(name, absent(f"{module.__name__}.{name}"))


class _Lenient(_Definitions):
    lenient = True


def _assigns(statement: ast.Assign, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for t in statement.targets for node in ast.walk(t))


def _lazily(value: ast.expr, name: str, module: ModuleType) -> Any:
    """A loss that a class or a function of the file's own makes, as `criterion = ElboLoss()`; all else stands in."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        kind = module.__dict__.get(value.func.id)
        loss = isinstance(kind, type) and "oss" in kind.__name__.lower()
        # A function that defines one and returns it, as make_loss() does, does nothing else.
        makes = isinstance(kind, FunctionType) and any(isinstance(c, CodeType) for c in kind.__code__.co_consts)
        short = isinstance(kind, FunctionType) and makes and len(kind.__code__.co_names) < 4
        if kind is not None and (loss or short) and kind.__module__ == module.__name__:
            try:
                return eval(compile(ast.Expression(value), "<value>", "eval"), module.__dict__)  # noqa: S307
            except Exception:  # it needs what was not run
                return Unrun(name)
    return Unrun(name)


class _Neighbours(MetaPathFinder):
    """Modules that lie beside the file, or in its packages, are loaded in the same way; installed ones as they are."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = roots

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path if path is not None else [str(root) for root in self.roots])
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return spec if spec is not None and spec.submodule_search_locations and self._ours(spec) else None
        if not self._is_ours(Path(spec.origin)):
            return None
        spec.loader = _Lenient(name, spec.origin)
        return spec

    def _ours(self, spec: ModuleSpec) -> bool:
        return any(self._is_ours(Path(place)) for place in spec.submodule_search_locations or ())

    def _is_ours(self, path: Path) -> bool:
        if "site-packages" in path.parts or "dist-packages" in path.parts:
            return False
        return any(root in path.resolve().parents for root in self.roots)


@contextmanager
def loaded(path: Path) -> Iterator[Loaded]:
    """The module that a file is, its package above it; imports inside its functions work as long as this is open.

    Raises:
        ValueError: there is no such file, or what it imports or defines raises.
    """
    if not path.is_file():
        raise ValueError(f"cannot import {path}: there is no such file")
    path = path.resolve()
    try:
        tree = ast.parse(source_of(path), str(path))
    except SyntaxError as error:
        raise ValueError(f"cannot import {path}: SyntaxError: {error}") from error
    name, roots = _place(path)
    with _as_of(path, roots), stubbed((*roots, path.parent)) as stubs:
        try:
            with time_limited(LIMIT), guarded():
                module = _imported(name, path)
        except TimeUp as error:
            raise ValueError(f"cannot import {path}: {error}") from error
        except (Exception, Left) as error:
            name = "" if isinstance(error, Unserved) else f"{type(error).__name__}: "
            raise ValueError(f"cannot import {path}: {name}{' '.join(str(error).split())}") from error
        yield Loaded(module, tree, tuple(sorted({made.split(".")[0] for made in stubs.made})))


def _place(path: Path) -> tuple[str, tuple[Path, ...]]:
    """The dotted name of a file in its package, and the folders that its imports are looked for in.

    A folder above without __init__.py is the package's root; where there is none, folders up to the project's own.
    """
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    roots = [folder]
    above = folder
    for _ in range(3):
        if any((above / mark).exists() for mark in (".git", "setup.py", "pyproject.toml", "requirements.txt")):
            roots.append(above)
            break
        above = above.parent
    relative = _relative_imports(path)
    if len(parts) == 1 and relative:
        # A package without __init__.py: as many folders up as its relative imports ask for.
        for _ in range(relative):
            parts.insert(0, folder.name)
            folder = folder.parent
        roots.insert(0, folder)
    name = ".".join(parts)
    return (name if len(parts) > 1 else f"audited_{path.stem}"), tuple(dict.fromkeys(root.resolve() for root in roots))


def _relative_imports(path: Path) -> int:
    nodes = ast.walk(ast.parse(source_of(path)))
    return max((node.level for node in nodes if isinstance(node, ast.ImportFrom)), default=0)


def _imported(name: str, path: Path) -> ModuleType:
    for parent in [name.rsplit(".", i)[0] for i in range(name.count("."), 0, -1)]:
        if parent not in sys.modules:
            importlib.import_module(parent)
    spec = importlib.util.spec_from_file_location(name, path, loader=_Definitions(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # for dataclasses, which look their module up
    spec.loader.exec_module(module)
    return module


@contextmanager
def _as_of(path: Path, roots: Sequence[Path]) -> Iterator[None]:
    """sys.path, sys.argv and sys.modules as the file has them, and then again as they were."""
    before, argv, finder = list(sys.path), list(sys.argv), _Neighbours(roots)
    known = set(sys.modules)
    sys.path[:0] = [str(path.parent), *map(str, roots)]
    sys.argv[:] = [str(path)]
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        sys.path[:], sys.argv[:] = before, argv
        # Neighbours of the same name, `model`, of the next file are other modules.
        for name in set(sys.modules) - known:
            origin = getattr(getattr(sys.modules[name], "__spec__", None), "loader", None)
            if isinstance(origin, _Definitions) and not name.startswith("audited_"):
                sys.modules[f"audited {path}:{name}"] = sys.modules.pop(name)
