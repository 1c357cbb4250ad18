"""Imports run one way, and modules stay small."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Of the laboratory: whole packages, and those parts of the library that a contract is built on.
MAY_IMPORT = {
    "model": {"model", "elbolab.networks", "elbolab.distributions"},
    "guide": {"guide", "elbolab.networks", "elbolab.distributions"},
    "data": {"data"},
    "training": {"training", "model", "guide", "data", "elbolab"},
    "compare": {"compare", "training", "model", "guide", "data", "elbolab"},
    "train.py": {"training", "model", "guide", "data", "elbolab"},
    "evaluate.py": {"training", "model", "guide", "data", "elbolab"},
    "experiments": {"experiments", "train", "training", "model", "guide", "data", "elbolab"},
    "elbolab": {"elbolab"},
}
# Inside the library: what a part may import of the others, all downhill.
BASE = {"elbolab.validation", "elbolab.generators"}
FOUNDATION = {"elbolab.programs", "elbolab.graph"} | BASE
PARTS = {
    "elbolab.validation": set(),
    "elbolab.generators": set(),
    "elbolab.programs": BASE,
    "elbolab.graph": BASE,
    "elbolab.distributions": set(),
    "elbolab.networks": set(),
    "elbolab.oracles": set(),
    "elbolab.symbolic": {"elbolab.graph"},
    "elbolab.estimators": FOUNDATION,
    "elbolab.stepping": {"elbolab.graph"} | BASE,
    "elbolab.judging": FOUNDATION,
    "elbolab.pareto": set(),
    "elbolab.importance_sampling": FOUNDATION | {"elbolab.pareto"},
    "elbolab.auditing": FOUNDATION | {"elbolab.estimators", "elbolab.symbolic", "elbolab.oracles"},
    "elbolab.studying": FOUNDATION | {"elbolab.estimators", "elbolab.symbolic", "elbolab.oracles"},
    "elbolab.report": FOUNDATION | {"elbolab.studying", "elbolab.auditing"},
    "elbolab.__main__": {"elbolab.auditing", "elbolab.report"},
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


def part(path: Path) -> str:
    """The part of the house that a file belongs to: a folder or script, or a part of the library."""
    place = path.relative_to(ROOT).with_suffix("").parts
    whole = ".".join(place[:2])
    return whole if place[0] == "elbolab" and whole in PARTS else path.relative_to(ROOT).parts[0]


def forbidden(package: str, source: str) -> set[str]:
    allowed = MAY_IMPORT.get(package) or PARTS[package] | {package}

    def may(name: str) -> bool:
        return any(name == other or name.startswith(f"{other}.") for other in allowed)

    # `from elbolab import oracles` names the package as well as what is wanted of it.
    packages = {name for name in imports(source) if name in MAY_IMPORT and name not in allowed}
    wanted = imports(source) - packages
    bare = {name for name in packages if not any(other.startswith(f"{name}.") for other in wanted)}
    return {name for name in wanted if not may(name)} | bare


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    assert not forbidden(part(path), path.read_text())


def test_a_wrong_import_is_found():
    assert forbidden("model", "import guide")
    assert forbidden("guide", "from model.priors import Prior")
    assert forbidden("elbolab", "def f():\n    from training import Experiment")
    assert forbidden("elbolab.graph", "from elbolab.estimators import DReG")
    assert forbidden("elbolab.programs", "from elbolab import graph")
    assert forbidden("model", "from elbolab import estimators")
    assert forbidden("training", "import train")
    assert not forbidden("guide", "from elbolab.networks import Network")
    assert not forbidden("model", "from elbolab import distributions")


def test_every_part_of_the_library_has_its_arrows():
    found = {f"elbolab.{path.stem}" for path in (ROOT / "elbolab").iterdir() if path.suffix in ("", ".py")}
    assert found - {"elbolab.__init__", "elbolab.__pycache__"} == PARTS.keys()


def test_the_witness_knows_torch_alone():
    tree = ast.parse((ROOT / "compare/handwritten.py").read_text())
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {name.split(".")[0] for name in names} == {"math", "torch"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_stay_small(path):
    assert len(path.read_text().splitlines()) <= 250
