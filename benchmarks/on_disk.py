"""Data larger than memory beside data in memory: `python benchmarks/on_disk.py --gigabytes 10`.

Makes a `.npy` of random grey levels of 784 pixels, trains 784-400-20 on it with `--data.in_memory no`, and the same
network on as many data as fit easily, in memory. Each run is a process of its own, so that its largest memory is its
own; steps are compiled, and taken in turns, so that the machine is as busy for one as for the other.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
PIXELS, BATCH, IN_MEMORY, HELD = 784, 128, 20_000, 2000
ROUND = 200  # steps between two changes of turn


def make(path: Path, count: int) -> None:
    """Random grey levels, written some at a time."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (count, PIXELS)})
        for start in range(0, count, 20_000):
            file.write(rng.random((min(20_000, count - start), PIXELS), np.float32))


def work(path: str, in_memory: str, holdout: float) -> None:
    """Prepares, and then takes as many steps as it is asked for, a number a line; the answers are JSON."""
    import resource

    import pyro
    import torch

    from data import Arrays
    from data.on_disk import AHEAD
    from training import Experiment, Processes, State, Steps
    from training.order import order

    began = time.perf_counter()
    source = Arrays(Path(path), in_memory=in_memory, holdout=holdout, binarize="dynamic")
    lab = Experiment(data=source, device="cpu")
    moves = torch.optim.Adam(lab.objective.parameters(), lr=1e-3)
    state = State(lab.objective, moves, lab.device, Processes())
    step = Steps(state, lab.dataset, float("inf"), compile="on", batch=BATCH, total=10**6)
    pyro.enable_validation(False)
    per_epoch = len(lab.dataset.train) // BATCH

    def batch(number: int) -> torch.Tensor:
        epoch, position = divmod(number, per_epoch)
        return order(0, epoch, len(lab.dataset.train), lab.dataset.index_device)[position * BATCH :][:BATCH]

    print(json.dumps({"prepared": time.perf_counter() - began, "data": len(lab.dataset.train)}), flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        for _ in range(int(line)):
            lab.dataset.expect(batch(later) for later in range(state.step, state.step + AHEAD))
            step(batch(state.step))
        assert step.finite(look=True)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"milliseconds": 1e3 * seconds / int(line), "peak": peak}), flush=True)


class Worker:
    """A process that takes steps when it is asked to."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, __file__, "--work", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.prepared = self._answer()

    def __call__(self, steps: int) -> dict[str, float]:
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.communicate()

    def _answer(self) -> dict[str, float]:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a run ended before it was done")
        return json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=10.0, help="of the file (10^9 bytes)")
    parser.add_argument("--folder", type=Path, help="where the file is made and removed; a temporary one if left out")
    parser.add_argument("--rounds", type=int, default=10, help=f"of {ROUND} steps of each")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        path, in_memory, holdout = options.work
        work(path, in_memory, float(holdout))
        return
    with TemporaryDirectory(dir=options.folder) as folder:
        count = int(options.gigabytes * 1e9 / 4 / PIXELS)
        paths = {"no": Path(folder) / "large.npy", "yes": Path(folder) / "small.npy"}
        began = time.perf_counter()
        make(paths["no"], count)
        make(paths["yes"], IN_MEMORY)
        print(f"{paths['no'].stat().st_size / 1e9:.2f} GB, {count} data, made in {time.perf_counter() - began:.0f} s")
        workers = {
            "no": Worker(str(paths["no"]), "no", str(HELD / count)),
            "yes": Worker(str(paths["yes"]), "yes", str(HELD / IN_MEMORY)),
        }
        times: dict[str, list[float]] = {how: [] for how in workers}
        peaks = {}
        for number in range(options.rounds + 1):
            for how, worker in workers.items():
                found = worker(ROUND)
                peaks[how] = found["peak"]
                if number:  # the first round compiles
                    times[how].append(found["milliseconds"])
        for how, worker in workers.items():
            worker.close()
            kept = {"no": "on the disk", "yes": "in memory"}[how]
            print(
                f"{kept:<12} {statistics.median(times[how]):6.2f} ms a step, largest memory {peaks[how]:.2f} GiB,"
                f" {worker.prepared['prepared']:.0f} s until the first step, {worker.prepared['data']} data"
            )
        ratios = [a / b for a, b in zip(times["no"], times["yes"], strict=True)]
        print(
            f"on the disk / in memory: {statistics.median(ratios):.3f}, median of {len(ratios)} rounds of {ROUND} steps"
        )


if __name__ == "__main__":
    main()
