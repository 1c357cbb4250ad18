"""kill -9 at every point at which a run touches the disk, and at random moments: it goes on to the very same end."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_train import metrics, same, state, without_seconds

ROOT = Path(__file__).parents[2]
COMPILED = ("--compile", "on")


class Runs:
    """Runs in forks of one process that has imported everything."""

    def __init__(self, folder):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.killed"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"},
        )

    def __call__(self, *arguments, **how):
        request = {"arguments": list(map(str, arguments)), "log": str(self.folder / "log")} | how
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def runs(tmp_path):
    found = Runs(tmp_path)
    yield found
    found.close()


def end(path):
    summary = json.loads((path / "summary.json").read_text())
    summary["train"], summary["best"] = without_seconds([summary["train"], summary["best"]])
    return {"last": state(path), "best": state(path, "best"), "metrics": metrics(path), "summary": summary}


def goes_on(runs, options, out):
    """What somebody does whose run was killed: goes on with it or, where nothing was written yet, starts it."""
    begun = (out / "config.yaml").exists()
    found = runs("--out", out, "--resume") if begun else runs(*options, "--out", out)
    assert found["code"] == 0, (runs.folder / "log").read_text()


def all_the_same(runs, options, straight, kills):
    expected, out, killed = end(straight), runs.folder / "killed", 0
    for kill in kills:
        shutil.rmtree(out, ignore_errors=True)
        killed += runs(*options, "--out", out, **kill)["code"] == -9
        goes_on(runs, options, out)
        found = end(out)
        assert all(same(found[name], expected[name]) for name in expected), f"killed at {kill}"
        assert not list(out.glob(".*.partial")), f"something half-written stayed: {kill}"
    return killed


@pytest.fixture
def straight(runs, small, request):
    options = [*small, "--data.validation", 0.5, "--epochs", 2, *getattr(request, "param", ())]
    found = runs(*options, "--out", runs.folder / "straight")
    assert found["code"] == 0, (runs.folder / "log").read_text()
    return options, runs.folder / "straight", found


def test_a_killed_run_goes_on_to_the_same_end(runs, straight):
    """A sample of the points; all of them are tried by `make check`."""
    options, path, found = straight
    assert found["points"] >= 60
    points = range(3, found["points"], found["points"] // 4)
    assert all_the_same(runs, options, path, [{"at": at} for at in points]) == len(points)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("straight", [(), COMPILED], ids=["eager", "compiled"], indirect=True)
def test_a_run_killed_at_every_point_goes_on_to_the_same_end(runs, straight):
    options, path, found = straight
    assert found["points"] >= 60
    assert all_the_same(runs, options, path, [{"at": at} for at in range(found["points"])]) == found["points"]


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("straight", [(), COMPILED], ids=["eager", "compiled"], indirect=True)
def test_a_run_killed_at_random_moments_goes_on_to_the_same_end(runs, straight):
    options, path, found = straight
    rng = random.Random(0)
    moments = [{"after": rng.uniform(0, found["seconds"])} for _ in range(40)]
    assert all_the_same(runs, options, path, moments) >= 20
