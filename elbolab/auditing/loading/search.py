"""What in a file, or in a folder of files, is to be audited."""

import ast
import re
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

from elbolab.auditing.loading.modules import Loaded
from elbolab.auditing.loading.packages import FRAMEWORKS
from elbolab.auditing.loading.source import source_of
from elbolab.auditing.probe.standins import Standin
from elbolab.auditing.probe.targets import method_of

_LOSS = re.compile(r".*(loss|elbo|kl_?d?(iv|ivergence)?|criterion|objective).*|training_step|vae_.*", re.IGNORECASE)
_HINTS = re.compile(r"log_?_?var|log_?sigma|kl_div|kld?\b|elbo|log_?_?std", re.IGNORECASE)
_TERMS = re.compile(r"\b(kld?|kl_\w+|\w*elbo|\w*loss|bce|nll)\b", re.IGNORECASE)  # an encoder's forward has none
_SKIPPED = {".git", "__pycache__", "node_modules", ".venv", "venv", "build", "dist", "site-packages"}


def named(loaded: Loaded, name: str, file: str) -> Any:
    """The function, class, method or object of this name.

    Raises:
        ValueError: the file has none that can be called.
    """
    try:
        found = attrgetter(name)(loaded.module)
    except AttributeError:
        found = None
    if callable(found) and not isinstance(found, Standin):
        owner, _, method = name.rpartition(".")
        above = attrgetter(owner)(loaded.module) if owner else None
        return method_of(above, method) if isinstance(above, type) else found
    if isinstance(found, Standin):
        raise ValueError(f"{file} makes {name} while it runs, and only its functions, classes and constants are loaded")
    there = [own for own in loaded.own if callable(getattr(loaded.module, own, None))]
    raise ValueError(f"{file} has no function {name}; there are: {', '.join(there) or 'none'}")


def framework(tree: ast.Module, name: str) -> str | None:
    """Which other framework the function of this name is written in, if its file does without torch."""
    roots: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {(a.asname or a.name).split(".")[0]: a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            roots |= {a.asname or a.name: node.module.split(".")[0] for a in node.names}
    body = _definition(tree, name)
    used = {roots[n.id] for n in ast.walk(body or tree) if isinstance(n, ast.Name) and n.id in roots}
    used = used or set(roots.values())
    if "torch" in used or "torch" in roots.values():
        return None
    other = next((FRAMEWORKS[root] for root in sorted(used) if root in FRAMEWORKS), None)
    return other or ("NumPy" if "numpy" in used else None)


def _definition(tree: ast.Module, name: str) -> ast.AST | None:
    scope: ast.AST | None = tree
    for part in name.split("."):
        inside = getattr(scope, "body", [])
        scope = next((node for node in inside if getattr(node, "name", None) == part), None)
    return scope


def candidates(path: Path) -> list[str]:
    """The functions and methods of a file that look like the loss of a VAE, by their names and what is in them."""
    try:
        tree = ast.parse(source_of(path))
    except (SyntaxError, ValueError):
        return []
    return [name for name, node in _functions(tree.body, "") if _looks_like_a_loss(node)]


def _functions(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield f"{prefix}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{prefix}{node.name}.")


def _looks_like_a_loss(node: ast.FunctionDef) -> bool:
    text = ast.unparse(node)
    forward = node.name in ("forward", "__call__") and "exp(" in text and bool(_TERMS.search(text))
    return bool(_HINTS.search(text)) and (bool(_LOSS.fullmatch(node.name)) or forward) and "return" in text


def files(folder: Path) -> list[Path]:
    """The Python files and notebooks below a folder."""
    found = [p for p in sorted(folder.rglob("*")) if p.suffix in (".py", ".ipynb")]
    return [p for p in found if not _SKIPPED & set(p.relative_to(folder).parts)]
