"""Compiled runs and runs of several processes, as they are called."""

import json
import os
import signal
import subprocess
import sys

import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO

import train
from elbolab import DReG
from elbolab.graph.capture import capture
from guide.posteriors import DiagonalNormal
from model.likelihoods import Bernoulli
from tests.test_train import metrics, refused, run, same, state
from training import Experiment, Processes, State, checkpoint
from training.compiled_step import Compiled
from training.eager_step import Eager


class Choosy(Bernoulli):
    """Looks at a value and decides by it: no fixed sequence of operations."""

    def forward(self, z):
        return super().forward(z if z.sum() > 0 else 2 * z)


class Deterministic(DiagonalNormal):
    """Noise that is a function of the datum, so that a datum's draw is the same whichever process draws it."""

    def forward(self, x):
        location, log_variance = self.location_and_log_variance(x)
        noise = torch.sin(1000 * (x.flatten(1) @ torch.linspace(1, 2, x[0].numel())))[:, None]
        return Given(location, (0.5 * log_variance).exp(), noise)


class Given(dist.Normal):
    def __init__(self, location, scale, noise):
        self.noise = noise
        super().__init__(location, scale)
        self._batch_shape, self._event_shape = self._batch_shape[:-1], self._batch_shape[-1:]

    def expand(self, batch_shape, _instance=None):
        return self

    def rsample(self, sample_shape=()):
        return self.loc + self.scale * self.noise

    def log_prob(self, value):
        return dist.Normal(self.loc, self.scale).log_prob(value).sum(-1)


@pytest.fixture
def uncompiled(monkeypatch):
    """The graph as it was traced: what Inductor makes of it is another test's."""
    monkeypatch.setattr("training.compiled_step.compile_graph", lambda graph, examples: graph)


@pytest.fixture(params=["traced", pytest.param("compiled", marks=pytest.mark.slow)])
def compiler(request):
    """The graph as it was traced, and what Inductor makes of it, which takes long: test_steps.py looks at one."""
    if request.param == "traced":
        request.getfixturevalue("uncompiled")


@pytest.mark.usefixtures("compiler")
def test_a_compiled_run_goes_on_bit_for_bit(small, tmp_path, capsys):
    cycles = ["--annealing", "Cyclical", "--annealing.epochs", 2]
    options = [*small, "--compile", "on", *cycles, "--elbo", "Trace_ELBO"]
    assert run(*options, "--epochs", 4, "--out", tmp_path / "straight") == 0
    assert "step: compiled as one graph" in capsys.readouterr().out
    original, calls = train.Steps.__call__, []

    def stop_at_the_eighth(self, index):
        calls.append(None)
        if len(calls) == 8:
            signal.raise_signal(signal.SIGTERM)
        original(self, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.Steps, "__call__", stop_at_the_eighth)
        assert run(*options, "--epochs", 4, "--out", tmp_path / "stopped") == 143
    assert checkpoint.load(tmp_path / "stopped", "cpu")["step"] == 8
    assert run("--out", tmp_path / "stopped", "--resume") == 0
    assert metrics(tmp_path / "stopped") == metrics(tmp_path / "straight")
    assert same(state(tmp_path / "stopped"), state(tmp_path / "straight"))


@pytest.mark.usefixtures("uncompiled")
def test_how_steps_are_taken_is_kept_unless_it_is_said(small, tmp_path, capsys, monkeypatch):
    assert run(*small, "--epochs", 1, "--out", tmp_path / "run") == 0
    monkeypatch.setattr("training.steps._REPAYS", 1)
    for epochs, option, kind in (
        (2, [], "eager"),
        (3, ["--compile", "on"], "compiled"),
        (4, ["--compile", "off"], "eager"),
    ):
        assert run("--out", tmp_path / "run", "--resume", "--epochs", epochs, *option) == 0
        assert f"step: {kind}" in capsys.readouterr().out


@pytest.mark.usefixtures("uncompiled")
def test_a_compiled_run_that_is_not_finite_leaves_with_4(small, tmp_path, capsys):
    sgd = ["--optimizer", "SGD", "--optimizer.lr", "1e30", "--compile", "on"]
    assert run(*small, *sgd, "--epochs", 5, "--out", tmp_path / "run") == 4
    assert "not finite at step" in capsys.readouterr().err
    state = checkpoint.load(tmp_path / "run", "cpu")
    assert all(value.isfinite().all() for value in state["objective"].values())


def test_an_eager_run_compiles_nothing(small, tmp_path, monkeypatch):
    monkeypatch.setattr("training.steps.Compiled", lambda *_, **__: pytest.fail("compiled"))
    assert run(*small, "--compile", "off", "--epochs", 1, "--out", tmp_path / "run") == 0


def test_what_cannot_be_captured_trains_eagerly_and_says_why(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("training.steps._REPAYS", 1)
    path = f"{__name__}.Choosy"
    assert run(*small, "--likelihood", path, "--epochs", 2, "--out", tmp_path / "run") == 0
    out = capsys.readouterr().out
    assert "step: eager, since test_compiled_runs.py" in out
    assert "asks for a value" in out


def test_who_insists_on_compiling_what_cannot_be_is_told(small, tmp_path, capsys):
    options = [*small, "--likelihood", f"{__name__}.Choosy", "--compile", "on", "--out", tmp_path / "run"]
    code, said = refused(capsys, *options)
    assert code == 2
    assert "compile = on, but" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16", "float64"])
def test_every_precision_trains(small, tmp_path, precision):
    assert run(*small, "--precision", precision, "--epochs", 2, "--out", tmp_path / "run") == 0
    assert metrics(tmp_path / "run")[-1]["loss"] < 4.8


def test_bf16_is_for_networks_and_not_for_densities():
    lab = Experiment(latent=3, hidden=8, precision="bf16")
    x = lab.dataset.batch(torch.arange(4))
    nodes = [node for node in capture(lab.objective, x).graph.graph.nodes if "val" in node.meta]
    aten = torch.ops.aten

    def kinds(*operations):
        return {node.meta["val"].dtype for node in nodes if node.target in operations}

    assert kinds(aten.addmm.default, aten.mm.default, aten.softplus.default) == {torch.bfloat16}
    assert kinds(aten.exp.default, aten.log1p.default, aten.tanh.default, aten.randn.default) == {torch.float32}
    assert all(p.dtype == torch.float32 for p in lab.objective.parameters())


def torchrun(processes, *runs):
    """Runs of train.py, one after the other: processes take seconds to start."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    runs = json.dumps([list(map(str, arguments)) for arguments in runs])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": "."}
    done = subprocess.run(
        [*command, "-m", "tests.training.several", runs], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert " steps" not in done.stderr, "no bar where there is no terminal, of no process"
    return done.stdout


def test_two_processes_are_one_with_the_same_batches_and_go_on_bit_for_bit(small, tmp_path, capsys):
    guide = ["--guide", "tests.training.test_compiled_runs.Deterministic", "--elbo", "Trace_ELBO", "--epochs", 3]
    assert run(*small, *guide, "--out", tmp_path / "one") == 0
    out = torchrun(
        2,
        [*small, *guide, "--out", tmp_path / "two"],
        [*small, "--epochs", 3, "--out", tmp_path / "straight"],
        [*small, "--epochs", 1, "--out", tmp_path / "longer"],
        ["--resume", "--epochs", 3, "--out", tmp_path / "longer"],
    )
    assert out.count("step: eager") == 4, "one process speaks"
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in one], rel=1e-6)
    states = [checkpoint.load(tmp_path / name, "cpu") for name in ("one", "two")]
    for name, value in states[0]["objective"].items():
        torch.testing.assert_close(states[1]["objective"][name], value, rtol=1e-4, atol=1e-6)
    assert len(states[1]["generators"]) == 2
    assert not torch.equal(states[1]["generators"][0]["cpu"], states[1]["generators"][1]["cpu"])
    assert metrics(tmp_path / "longer") == metrics(tmp_path / "straight")
    assert same(state(tmp_path / "longer"), state(tmp_path / "straight"))
    code, said = refused(capsys, "--out", tmp_path / "longer", "--resume", "--epochs", 4)
    assert code == 5
    assert "2 processes" in said


@pytest.mark.cuda
def test_a_compiled_run_on_cuda_goes_on_bit_for_bit(small, tmp_path):
    options = [*small, "--compile", "on", "--device", "cuda"]
    assert run(*options, "--epochs", 4, "--out", tmp_path / "straight") == 0
    assert run(*options, "--epochs", 2, "--out", tmp_path / "longer") == 0
    assert run("--out", tmp_path / "longer", "--resume", "--epochs", 4) == 0
    assert metrics(tmp_path / "longer") == metrics(tmp_path / "straight")


@pytest.mark.cuda
@pytest.mark.parametrize("elbo", [Trace_ELBO, TraceMeanField_ELBO, DReG])
def test_the_host_does_not_wait_between_two_looks(elbo):
    lab = Experiment(latent=3, hidden=8, elbo=elbo(), device="cuda")
    optimizer = torch.optim.Adam(lab.objective.parameters(), lr=1e-3)
    state = State(lab.objective, optimizer, lab.device, Processes())
    index = torch.arange(16, device=lab.device)
    Eager(state, lab.dataset, float("inf"))(index)
    step = Compiled(state, lab.dataset, float("inf"), index)
    with torch.profiler.profile() as profile:
        for _ in range(50):
            step(index)
            assert step.finite(look=False)
    waits = [event.name for event in profile.events() if "Synchronize" in event.name or "DtoH" in event.name]
    assert [name for name in waits if name != "cudaDeviceSynchronize"] == []  # the profiler's own, at its end
    assert step.finite(look=True)
    assert state.step == 51
