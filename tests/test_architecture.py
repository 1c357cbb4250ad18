"""Imports run one way, and modules stay small."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "model": {"model"},
    "guide": {"guide", "model.networks", "model.distributions"},
    "objective": {"objective"},
    "data": {"data"},
    "training": {"training", "model", "guide", "objective", "data"},
    "compare": {"compare", "training", "model", "guide", "objective", "data"},
    "train.py": {"training", "model", "guide", "objective", "data"},
    "evaluate.py": {"training", "model", "guide", "objective", "data"},
}
OURS = {name.removesuffix(".py") for name in MAY_IMPORT}
SOURCES = [
    path for name in MAY_IMPORT for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*.py"))
]


def imports(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name comes from"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names if node.module in OURS}
    return {name for name in found if name.split(".")[0] in OURS}


def forbidden(package: str, source: str) -> set[str]:
    def allowed(name: str) -> bool:
        return any(name == other or name.startswith(f"{other}.") for other in MAY_IMPORT[package])

    return {name for name in imports(source) if not allowed(name)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    assert not forbidden(path.relative_to(ROOT).parts[0], path.read_text())


def test_a_wrong_import_is_found():
    assert forbidden("model", "import guide")
    assert forbidden("guide", "from model.priors import Prior")
    assert forbidden("objective", "def f():\n    from training import Experiment")
    assert forbidden("training", "import train")
    assert not forbidden("guide", "from model.networks import Network")


def test_the_witness_knows_torch_alone():
    tree = ast.parse((ROOT / "compare/handwritten.py").read_text())
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {name.split(".")[0] for name in names} == {"math", "torch"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_stay_small(path):
    assert len(path.read_text().splitlines()) <= 260
