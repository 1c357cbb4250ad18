"""A sample of small changes to the training program, each of which a test has to notice: `make mutants`.

Cosmic Ray makes the changes, in a copy of the tree. The tests of the changed file are called until the first one fails,
in a fork of a process that has imported the libraries. Changes that no test noticed are listed; the tests that noticed
one are called once more, with nothing changed. Left alone are strings,
annotations and the numbers that arguments have by default, which are choices; and what only a browser tries.
"""

import argparse
import ast
import compileall
import json
import os
import py_compile
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

import cosmic_ray.plugins
import hypothesis  # noqa: F401, this line and the next ones: imported once, for all forks
import jsonargparse  # noqa: F401
import matplotlib.pyplot as plt  # noqa: F401
import pandas as pd  # noqa: F401
import pyro  # noqa: F401
import pytest
import scipy.stats  # noqa: F401
import sklearn.model_selection  # noqa: F401
import torch
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

import elbolab  # noqa: F401, which is not changed

ROOT = Path(__file__).parents[1]
PARTS = "model/test_references guide model/test_model model/test_contract model/test_extremes model/test_densities"
KEPT = "training/test_run_folder reliability/test_same_run training/test_changes training/test_judging"
KEPT += " experiments/test_keeping"
LOOP = "reliability/test_loop training/test_experiment reliability/test_trust test_train reliability/test_bad_inputs"
SAID = "training/test_experiment test_train reliability/test_bad_inputs reliability/test_loop test_evaluate"
SAID += " training/test_loggers reliability/test_same_run"
STEPS = "training/test_steps reliability/test_loop training/test_compiled_runs test_train"
JUDGED = "test_evaluate training/test_using"
# Of a file the tests, from the quickest to those that take long; the first pattern that fits counts.
TESTS = {
    "training/report/*": "",
    "training/*step*.py": STEPS,
    "training/run.py": f"training/test_run training/test_pictures {JUDGED}",
    "training/last_pictures.py": f"training/test_pictures {SAID}",
    "training/posterior_checks.py": JUDGED,
    "training/comparison/*": "training/test_comparison",
    "training/loggers.py": f"training/test_loggers {SAID}",
    "data/folder.py": f"data/test_folder {SAID}",
    "data/table.py": f"data/test_table {SAID}",
    "data/*": f"data reliability/test_loop {KEPT} reliability/test_bad_inputs",
    "model/*": f"{PARTS} reliability/test_bad_inputs",
    "guide/*": PARTS,
    "evaluate.py": f"{JUDGED} reliability/test_bad_inputs",
    "train.py": f"{LOOP} {KEPT} training/test_annealing training/test_compiled_runs",
} | {f"training/{name}*.py": f"training/test_pictures {JUDGED}" for name in ("figures", "pictures", "cells")}
TESTS |= {f"training/{name}*.py": SAID for name in ("options", "experiment_options", "help", "catalogue", "starting")}
TESTS |= {"training/*": f"{KEPT} {LOOP}"}
# Tests that take long and see little that others do not: every pair of parts, statistics, Inductor, processes.
SLOW = "expectation or every_part or sum_to_one or relaxations or compiled_graph or goes_on or precision"
OPTIONS = ("-q", "-x", "-p", "no:cacheprovider", "-p", "pytest_timeout", "--no-header", "-k", f"not ({SLOW})")


@dataclass(frozen=True)
class Mutant:
    """One change, and the test that noticed it; "" if none did."""

    path: str
    line: int
    operator: str
    occurrence: int
    before: str = ""
    after: str = ""
    killed_by: str = ""


class Failures:
    """A plugin of pytest that notes what failed."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.names.append(report.nodeid)


def called(copy: Path, tests: list[str]) -> str:
    """Calls tests in this process, from a copy of the tree; the first that failed."""
    os.chdir(copy)
    sys.path[:] = [str(copy), *(place for place in sys.path if place not in ("", str(ROOT)))]
    for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
        del sys.modules[name]  # this one, of the tree that is not changed
    sys.dont_write_bytecode = True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they take longer than most tests
    failures = Failures()
    code = pytest.main([*OPTIONS, "--timeout=0", f"--rootdir={copy}", *tests], plugins=[failures])
    return next(
        iter(failures.names), "" if code in (0, pytest.ExitCode.NO_TESTS_COLLECTED) else "the tests cannot be collected"
    )


def in_a_fork(work: Callable[[], str], limit: float, log: Path) -> str:
    """What `work` returns; "time" if it takes longer than `limit` seconds of a processor, or hangs."""
    receiving, answer = os.pipe()
    pid = os.fork()
    if not pid:
        os.setpgid(0, 0)  # what it starts goes with it
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 10))
        file = log.open("w")  # noqa: SIM115, the process ends with it
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            os.write(answer, f"said {work()}".encode())
        finally:
            os._exit(0)
    os.close(answer)
    ends, ended, how = time.monotonic() + 20 * limit, False, 0
    while time.monotonic() < ends and not ended:
        time.sleep(0.05)
        done, how = os.waitpid(pid, os.WNOHANG)
        ended = bool(done)
    if not ended:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.set_blocking(receiving, False)
    try:
        said = os.read(receiving, 1 << 12).decode()
    except BlockingIOError:
        said = ""
    os.close(receiving)
    if not ended or os.WIFSIGNALED(how) and os.WTERMSIG(how) == signal.SIGXCPU:
        return "time"
    return said.removeprefix("said ") if said else "the process ended"


def left_alone(source: str) -> set[tuple[int, int]]:
    """Lines and columns of annotations, and of numbers that arguments have by default."""
    parts: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(source)):
        parts += [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.arguments):
            defaults = [*node.defaults, *node.kw_defaults]
            parts += [d for d in defaults if d is not None and not isinstance(d, ast.Lambda)]
    found: set[tuple[int, int]] = set()
    for part in [part for part in parts if part is not None]:
        for line in range(part.lineno, (part.end_lineno or 0) + 1):
            first = part.col_offset if line == part.lineno else 0
            last = part.end_col_offset or 0 if line == part.end_lineno else 200
            found |= {(line, column) for column in range(first, last)}
    return found


def tests_of(path: str) -> list[str]:
    """The tests that are called where a file has changed."""
    named = next((tests for pattern, tests in TESTS.items() if fnmatch(path, pattern)), "")
    return [f"tests/{name}" if (ROOT / "tests" / name).is_dir() else f"tests/{name}.py" for name in named.split()]


def files() -> Iterator[str]:
    for path in sorted(ROOT.glob("*.py")) + sorted(ROOT.glob("*/**/*.py")):
        if tests_of(name := str(path.relative_to(ROOT))):
            yield name


def mutants(count: int, seed: int) -> list[Mutant]:
    """A sample of the places that can be changed, and of what they can be changed into."""
    places: dict[tuple[str, int, int], list[Mutant]] = defaultdict(list)
    unwanted = ("VariableInserter", "VariableReplacer", "_Is", "_IsNot")  # those that say nothing, and mere warnings
    names = [name for name in cosmic_ray.plugins.operator_names() if not name.endswith(unwanted)]
    for path in files():
        source = (ROOT / path).read_text()
        alone, nodes = left_alone(source), list(ast_nodes(get_ast(source)))
        for name in names:
            operator = cosmic_ray.plugins.get_operator(name)()
            positions = (start for node in nodes for start, _ in operator.mutation_positions(node))
            for occurrence, (line, column) in enumerate(positions):
                if (line, column) not in alone:
                    places[path, line, column].append(Mutant(path, line, name, occurrence))
    rng = random.Random(seed)
    chosen = rng.sample(sorted(places), min(count, len(places)))
    print(f"{len(places)} places in {len({place[0] for place in places})} files; of them {len(chosen)}", flush=True)
    return [rng.choice(places[place]) for place in chosen]


def tried(mutant: Mutant, copy: Path, limit: float) -> Mutant | None:
    """What became of a change; None where it changes nothing."""
    path = copy / mutant.path
    source = path.read_text()
    changed = mutate_code(source, cosmic_ray.plugins.get_operator(mutant.operator)(), mutant.occurrence) or source
    try:
        if ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source)):
            return None
    except SyntaxError:
        return None
    pairs = zip(source.splitlines(), changed.splitlines(), strict=False)
    before, after = next(((a.strip(), b.strip()) for a, b in pairs if a != b), ("", ""))
    path.write_text(changed)
    try:
        by = in_a_fork(lambda: called(copy, tests_of(mutant.path)), limit, copy.with_suffix(".log"))
    finally:
        path.write_text(source)
    return Mutant(**asdict(mutant) | {"before": before, "after": after, "killed_by": by})


def place(mutant: Mutant) -> tuple[str, int, str, int]:
    return mutant.path, mutant.line, mutant.operator, mutant.occurrence


def found_in(out: Path) -> list[Mutant]:
    return [Mutant(**json.loads(line)) for path in sorted(out.glob("part*.jsonl")) for line in path.open()]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=120, help="how many changes")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--limit", type=float, default=200, help="seconds of a processor for the tests of a change")
    parser.add_argument("--processes", type=int, default=1, help="how many at a time")
    parser.add_argument("--out", type=Path, default=Path(".mutants"), help="what is found")
    parser.add_argument("--survivors", action="store_true", help="try again what survived there and what is left")
    options = parser.parse_args()
    torch.set_num_threads(1)
    out = options.out.absolute()
    before = found_in(out) if options.survivors else []
    noticed = {place(mutant): mutant for mutant in before if mutant.killed_by}
    shutil.rmtree(out, ignore_errors=True)
    for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines():
        if (ROOT / name).exists() and "/wild/" not in name:
            (out / "tree0" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, out / "tree0" / name)
    compileall.compile_dir(out / "tree0", quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    chosen = mutants(options.count, options.seed)
    started = []
    for which in range(options.processes):
        if which:
            shutil.copytree(out / "tree0", out / f"tree{which}")
        if not (pid := os.fork()):
            with (out / f"part{which}.jsonl").open("w") as file:
                for mutant in chosen[which :: options.processes]:
                    known = noticed.get(place(mutant))
                    if result := known or tried(mutant, out / f"tree{which}", options.limit):
                        print(json.dumps(asdict(result)), file=file, flush=True)
            os._exit(0)
        started.append(pid)
    for pid in started:
        os.waitpid(pid, 0)
    found = found_in(out)
    survived = [mutant for mutant in found if not mutant.killed_by]
    for mutant in survived:
        print(f"{mutant.path}:{mutant.line}\n  - {mutant.before}\n  + {mutant.after}")
    share = 1 - len(survived) / max(1, len(found))
    print(f"{len(found) - len(survived)} of {len(found)} noticed, {share:.0%}")
    by = sorted({mutant.killed_by for mutant in found if "::" in mutant.killed_by})
    if wrong := in_a_fork(lambda: called(out / "tree0", by), 20 * options.limit, out / "unchanged.log"):
        sys.exit(f"error: {wrong} fails where nothing is changed")
    return int(share < 0.9)


if __name__ == "__main__":
    sys.exit(main())
