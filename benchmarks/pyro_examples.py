"""Pyro's own examples by `elbolab.CompiledSVI` and by `pyro.infer.SVI`: agreement over 50 steps, ratio of step times.

python benchmarks/pyro_examples.py PYRO [NAME ...], where PYRO is a checkout of pyro-ppl/pyro. Every example runs in a
process of its own; its row is kept in pyro_examples.json beside this file, and the table in
docs/how-to/compiled-svi.md is written anew from all rows. Times are medians over rounds in which the two take turns.
"""

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import MagicMock

import pyro
import torch
from pyro.infer import SVI
from pyro_programs import CASES

ROOT = Path(__file__).resolve().parents[1]
ROWS, PAGE = Path(__file__).with_suffix(".json"), ROOT / "docs/how-to/compiled-svi.md"
STEPS, ROUNDS, ROUND, PATIENCE, AGREE = 50, 7, 0.5, 1800, 1e-4
BEGIN, END = "<!-- written by benchmarks/pyro_examples.py -->", "<!-- to here -->"


def losses(cls: Callable, name: str, folder: Path, **options: Any) -> tuple[list[float], Any, Callable[[int], tuple]]:
    """Of STEPS steps from the same seed; the SVI, to go on with, and its arguments."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    model, guide, optimizer, loss, arguments = CASES[name](folder)
    pyro.set_rng_seed(1)
    svi = cls(model, guide, optimizer, loss, **options)
    return [float(svi.step(*arguments(i))) for i in range(STEPS)], svi, arguments


def measured(name: str, folder: Path) -> dict[str, Any]:
    """Agreement, and times in turns."""
    from elbolab import CompiledSVI

    pyro.enable_validation(False)
    torch.set_default_dtype(torch.float64)
    try:
        exact = apart(losses(CompiledSVI, name, folder, compile=False)[0], losses(SVI, name, folder)[0])
    except Exception as error:  # an example that is written for float32
        print(f"{name} in float64: {type(error).__name__}: {error}", file=sys.stderr)
        exact = None
    torch.set_default_dtype(torch.float32)
    stock, svi, arguments = losses(SVI, name, folder)
    store = pyro.get_param_store().get_state()
    start = time.perf_counter()
    found, compiled, others = losses(CompiledSVI, name, folder)
    seconds = time.perf_counter() - start
    mine = pyro.get_param_store().get_state()
    row: dict[str, Any] = {"described": compiled.described, "seconds": seconds}
    row |= {"exact": exact, "apart": apart(found, stock)}
    if not compiled.described.startswith("compiled"):
        return row
    times: dict[str, list[float]] = {"stock": [], "compiled": []}
    for _ in range(ROUNDS):
        for label, one, state, given in (("stock", svi, store, arguments), ("compiled", compiled, mine, others)):
            pyro.clear_param_store()
            pyro.get_param_store().set_state(state)
            taken, begun, count = [], time.perf_counter(), STEPS
            while time.perf_counter() - begun < ROUND:
                now = time.perf_counter()
                one.step(*given(count))
                taken.append(time.perf_counter() - now)
                count += 1
            times[label].append(median(taken))
    ratios = [a / b for a, b in zip(times["compiled"], times["stock"], strict=True)]
    stock_ms, compiled_ms = (1e3 * median(times[label]) for label in ("stock", "compiled"))
    return row | {"stock": stock_ms, "compiled": compiled_ms, "ratio": median(ratios)}


def apart(found: list[float], expected: list[float]) -> float:
    """The largest difference of losses, relative."""
    return max(abs(a - b) / max(abs(b), 1e-3) for a, b in zip(found, expected, strict=True))


def row(name: str, folder: Path) -> dict[str, Any]:
    """Of one example, in a process of its own."""
    command = [sys.executable, __file__, "--one", str(folder), name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return {"described": f"no answer in {PATIENCE // 60} minutes"}
    print(done.stderr, file=sys.stderr)
    if done.returncode:
        return {"described": f"failed: {done.stderr.strip().splitlines()[-1]}"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(rows: dict[str, dict[str, Any]]) -> str:
    """In the order of the cases, as markdown."""
    lines = [
        "| example | losses apart, float64 | float32, compiled | SVI, ms | CompiledSVI, ms | ratio | how |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in filter(rows.__contains__, CASES):
        found = rows[name]
        shown = [f"{found[key]:.1e}" if found.get(key) is not None else "-" for key in ("exact", "apart")]
        shown += [f"{found[key]:.3g}" if key in found else "-" for key in ("stock", "compiled", "ratio")]
        lines.append(f"| {' | '.join([name, *shown, found['described']])} |")
    ratios = [found["ratio"] for found in rows.values() if "ratio" in found]
    agree = sum(found["apart"] < AGREE for found in rows.values() if "apart" in found)
    compiled = f"{len(ratios)} of the {len(rows)} that were measured compile"
    said = f"{compiled}, {agree} agree with SVI to {AGREE:g} in float32 over {STEPS} steps"
    return "\n".join([*lines, "", f"{said}; the median ratio of step times is {median(ratios):.2g}."])


def main(folder: Path, names: list[str]) -> None:
    for name in names or CASES:
        found = row(name, folder)
        rows = (json.loads(ROWS.read_text()) if ROWS.exists() else {}) | {name: found}
        ROWS.write_text(json.dumps(rows, indent=1) + "\n")
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        here = Path(sys.argv[2])
        sys.path[:0] = [str(ROOT), *(str(here / "examples" / part) for part in ("vae", "cvae", "air", "scanvi", ""))]
        for missing in ("wget", "visdom", "torchvision", "torchvision.datasets", "torchvision.transforms"):
            sys.modules.setdefault(missing, MagicMock())  # what downloads and draws, and is not called here
        warnings.simplefilter("ignore")
        print(json.dumps(measured(sys.argv[3], here)))
    else:
        main(Path(sys.argv[1]), sys.argv[2:])
