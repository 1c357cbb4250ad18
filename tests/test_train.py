"""The program itself, as it is called."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import torch
import yaml
from pyro.infer.elbo import ELBOModule
from torch.distributions import Bernoulli, Normal, OneHotCategorical

import elbolab
import train
from data import MNIST, Arrays, Dataset
from training import Experiment, RunFolder, checkpoint
from training.catalogue import CHOICES


def run(*arguments):
    return train.main([str(argument) for argument in arguments])


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return stopped.value.code, message


def same(one, two):
    """Two checkpoints, bit for bit."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


def metrics(path):
    return without_seconds(RunFolder(path).metrics())


def without_seconds(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def state(path, which="last"):
    """What a checkpoint holds of the run itself: not where it lies, nor how long it took."""
    found = checkpoint.load(path, "cpu", which)
    return {k: v for k, v in found.items() if k not in ("record", "history")} | {
        "history": without_seconds(found["history"])
    }


def test_a_run_leaves_what_its_folder_promises(small, tmp_path, capsys):
    assert run(*small, "--epochs", 3, "--out", tmp_path / "run") == 0
    out = capsys.readouterr().out
    assert "z: KL analytic" in out
    assert "test -ELBO" in out
    names = {path.name for path in (tmp_path / "run").iterdir()}
    expected = "config.yaml environment.json metrics.jsonl checkpoint.pt checkpoint.pt.sha256 summary.json"
    expected += " checkpoint.previous.pt .lock .summary.lock"
    assert names == set(expected.split())
    rows = RunFolder(tmp_path / "run").metrics()
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["step"] for row in rows] == [3, 6, 9], "48 data in batches of 20, 20 and 8"
    for row in rows:
        assert row["test_loss"] == pytest.approx(row["test_rate"] + row["test_distortion"])
    assert json.loads((tmp_path / "run/summary.json").read_text())["kl"] == {"z": "analytic"}
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["latent"] == 2


def test_the_catalogue_is_printed(capsys):
    with pytest.raises(SystemExit) as stopped:
        run("--list")
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    for classes in CHOICES.values():
        for cls in classes:
            assert re.search(rf"^  {cls.__name__} +\S", out, re.MULTILINE), f"{cls.__name__} has its line"
    assert re.search(r"^  LowRankNormal +Normal, StandardNormal$", out, re.MULTILINE)


def test_training_lowers_the_loss(small, tmp_path):
    assert run(*small, "--epochs", 30, "--optimizer", "Adam", "--optimizer.lr", 0.02, "--out", tmp_path / "run") == 0
    rows = metrics(tmp_path / "run")
    # 6 bits of probability 0.3 have an entropy of 3.67 nats; untrained, a bit costs log 2: 4.16 nats.
    assert rows[-1]["loss"] < 3.9 < 4.1 < rows[0]["loss"]


def test_the_reported_loss_is_the_mean_over_data_not_over_batches(small, tmp_path, monkeypatch):
    sums = []
    original = ELBOModule.forward

    def spy(self, x):
        loss = original(self, x)
        sums.append(loss.item())
        return loss

    monkeypatch.setattr(ELBOModule, "forward", spy)
    run(*small, "--epochs", 1, "--out", tmp_path / "run")
    assert len(sums) == 6, "the first three are looks before the start"
    assert metrics(tmp_path / "run")[0]["loss"] == pytest.approx(sum(sums[3:]) / 48, rel=1e-6)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_goes_on_bit_for_bit(small, tmp_path, monkeypatch, kind, capsys):
    options = [*small, "--data.binarize", "dynamic", "--beta_warmup", 2]
    assert run(*options, "--epochs", 4, "--out", tmp_path / "straight") == 0
    original, calls = Dataset.batch, []

    def stop_at_the_eighth(self, index):
        calls.append(None)
        if len(calls) == 11:  # three calls are looks at the data before the first step
            signal.raise_signal(kind)
        return original(self, index)

    monkeypatch.setattr(Dataset, "batch", stop_at_the_eighth)
    assert run(*options, "--epochs", 4, "--out", tmp_path / "stopped") == 128 + kind
    monkeypatch.undo()
    assert "--resume" in capsys.readouterr().err
    assert checkpoint.load(tmp_path / "stopped", "cpu")["step"] == 8, "in the middle of the third epoch"
    assert run("--out", tmp_path / "stopped", "--resume") == 0
    assert metrics(tmp_path / "stopped") == metrics(tmp_path / "straight")
    assert same(state(tmp_path / "stopped"), state(tmp_path / "straight"))


def test_a_finished_run_can_be_lengthened_bit_for_bit(small, tmp_path):
    assert run(*small, "--epochs", 4, "--out", tmp_path / "straight") == 0
    assert run(*small, "--epochs", 2, "--out", tmp_path / "longer") == 0
    assert not same(state(tmp_path / "longer"), state(tmp_path / "straight"))
    assert run("--out", tmp_path / "longer", "--resume", "--epochs", 4) == 0
    assert same(state(tmp_path / "longer"), state(tmp_path / "straight"))
    assert metrics(tmp_path / "longer") == metrics(tmp_path / "straight")


def test_beta_warms_up_and_the_test_loss_stays_the_elbo(small, tmp_path):
    assert run(*small, "--epochs", 3, "--beta", 3, "--beta_warmup", 2, "--out", tmp_path / "run") == 0
    assert [row["beta"] for row in metrics(tmp_path / "run")] == [1.5, 3, 3]


@pytest.mark.parametrize(
    ("option", "value"),
    [(option, cls.__name__) for option in ("network", "elbo") for cls in CHOICES[option]],
)
def test_every_name_trains(option, value, tmp_path):
    extra = ["--data", "Digits", "--latent", 2, "--hidden", 8, "--epochs", 2, "--out", tmp_path]
    extra += ["--optimizer", "Adam", "--optimizer.lr", 0.01]
    estimator = getattr(elbolab, value, elbolab.Pathwise)
    latents = {None: Normal(0.0, 1.0), "Bernoulli": Bernoulli(0.5), "OneHot": OneHotCategorical(torch.ones(2))}
    if isinstance(estimator, type):
        name = next(name for name, latent in latents.items() if estimator.serves_latent(latent))
        extra += ["--prior", name, "--guide", name] if name else []
    assert run(f"--{option}", value, *extra) == 0
    if value != "CUBO":  # an upper bound, whose guide need not serve the ELBO
        assert metrics(tmp_path)[-1]["test_loss"] < 44  # log 2 a pixel, and no more learned: 44.36


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prior", "StandardNorml"], "did you mean StandardNormal?"),
        (["--prior", "Mixture", "--prior.compnents", "3"], "did you mean components?"),
        (["--prior", "StudentT", "--prior.df", "0"], "degrees of freedom are positive"),
        (["--guide", "Mixture", "--latent", "1"], "Mixture needs two latents"),
        (["--likelihood", "Multinomial"], "bags of words"),
        (
            ["--elbo", "RLOO", "--elbo.num_particles", "1"],
            "error: RLOO needs at least 2 particles, not num_particles = 1",
        ),
        (["--elbo", "IWAE", "--elbo.sampling", "sobl"], "--elbo.sampling: sobl is given, and it takes"),
        (
            ["--elbo", "DisARM"],
            "DisARM serves Bernoulli latents, and the guide's z is Normal. Estimators for it: CIWAE",
        ),
        (["--compile", "maybe"], "--compile: maybe is given, and it takes auto, on or off"),
        (["--elbo", "Trace_ELB"], "There are: Trace_ELBO, TraceMeanField_ELBO"),
        (["--elbo", "JitTrace_ELBO"], "there are: Trace_ELBO, TraceMeanField_ELBO"),
        (["--guide.bond", "3"], "did you mean bound?"),
        (["--latnt", "3"], "did you mean --latent?"),
        (["--latent", "many"], "--latent: many is given, and it takes a whole number"),
        (["--hidden", "wide"], "--hidden: wide is given, and it takes a whole number or a list"),
        (["--optimizer.lr", "nan"], "--optimizer.lr: nan is given, and it takes a number"),
        (["--prior", "Mixture", "--prior.components", "1.5"], "--prior.components: 1.5 is given, and it takes a whole"),
        (["--patience", "null3"], "--patience: null3 is given, and it takes a whole number"),
        (["--data.validation", "some"], "--data.validation: some is given, and it takes a number"),
        (["--elbo", "IWAE", "--elbo.num_particles", "x"], "--elbo.num_particles: x is given, and it takes a whole"),
        (["--beta", "nan"], "--beta: nan is given, and it takes a number"),
        (["--epochs", "0"], "epochs"),
        (["--clip", "0"], "clip = 0"),
        (["--data.binarize", "no"], "binarise"),
        (["--data.binarize", "maybe"], "--data.binarize: maybe is given, and it takes auto, no, static or dynamic"),
        (["--device", "tpu"], "device = tpu"),
        (["--optimizer", "Adm"], "optimizer"),
        (["--network", "Convolutional", "--data", "Arrays"], "path"),
        (["--resume"], "holds no run"),
        (["--resume", "--overwrite"], "holds no run"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_options_leave_with_2_and_one_message(arguments, message, tmp_path, capsys):
    code, said = refused(capsys, *arguments, "--out", tmp_path / "run")
    assert code == 2
    assert message in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_cuda_is_an_error(tmp_path, capsys):
    code, said = refused(capsys, "--device", "cuda", "--out", tmp_path / "run")
    assert code == 2
    assert "sees no CUDA device" in said


def test_missing_data_leave_with_3(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ELBOLAB_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(MNIST, "mirrors", ((tmp_path / "nowhere/").as_uri(),))
    code, said = refused(capsys, "--data", "MNIST", "--out", tmp_path / "run")
    assert code == 3
    assert "train-images-idx3-ubyte.gz" in said
    assert str(tmp_path / "cache/mnist") in said


def test_a_loss_that_is_not_finite_leaves_with_4(small, tmp_path, capsys):
    code = run(*small, "--optimizer", "SGD", "--optimizer.lr", "1e30", "--epochs", 5, "--out", tmp_path / "run")
    assert code == 4
    assert "not finite at step" in capsys.readouterr().err
    state = checkpoint.load(tmp_path / "run", "cpu")
    assert all(value.isfinite().all() for value in state["objective"].values())


def test_another_runs_or_a_damaged_checkpoint_leaves_with_5(small, tmp_path, capsys):
    out = tmp_path / "run"
    assert run(*small, "--epochs", 1, "--out", out) == 0
    code, said = refused(capsys, "--out", out, "--resume", "--latent", 5)
    assert code == 5
    assert "latent was 2, is 5" in said
    (out / "checkpoint.pt").write_bytes(b"not it")
    code, said = refused(capsys, "--out", out, "--resume", "--epochs", 2)
    assert code == 5
    assert "damaged" in said


def test_a_folder_in_use_leaves_with_2(small, tmp_path, capsys):
    assert run(*small, "--epochs", 1, "--out", tmp_path / "run") == 0
    code, said = refused(capsys, *small, "--epochs", 1, "--out", tmp_path / "run")
    assert code == 2
    assert "--overwrite" in said
    assert run(*small, "--epochs", 1, "--out", tmp_path / "run", "--overwrite") == 0
    assert len(metrics(tmp_path / "run")) == 1


def test_a_run_that_is_refused_leaves_no_trace_and_removes_nothing(small, tmp_path, capsys):
    refused(capsys, "--likelihood", "Categorical", "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert run(*small, "--epochs", 1, "--out", tmp_path / "old") == 0
    refused(capsys, "--likelihood", "Categorical", "--out", tmp_path / "old", "--overwrite")
    assert len(metrics(tmp_path / "old")) == 1


def test_a_long_gradient_is_clipped(small, tmp_path):
    options = [*small, "--epochs", 1, "--optimizer", "SGD", "--optimizer.lr", 0.1]
    assert run(*options, "--clip", "1e-6", "--out", tmp_path / "clipped") == 0
    assert run(*options, "--out", tmp_path / "free") == 0
    moved = {}
    for name in ("clipped", "free"):
        lab = Experiment.load(RunFolder(tmp_path / name))
        start = Experiment(data=lab_data(small), latent=2, hidden=8)
        pairs = zip(lab.objective.parameters(), start.objective.parameters(), strict=True)
        moved[name] = sum((p - q).square().sum().item() for p, q in pairs) ** 0.5
    assert 0 < moved["clipped"] < 3.1e-7 < 0.01 < moved["free"], "three steps of 1e-7 at most"


def lab_data(small):
    return Arrays(small[small.index("--data.path") + 1], binarize="no")


def test_the_printed_configuration_runs(small, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(*small, "--epochs", 1, "--print_config")
    assert stopped.value.code == 0
    (tmp_path / "run.yaml").write_text(capsys.readouterr().out)
    assert run("--config", tmp_path / "run.yaml", "--out", tmp_path / "run") == 0
    assert run(*small, "--epochs", 1, "--out", tmp_path / "same") == 0
    assert same(state(tmp_path / "run"), state(tmp_path / "same"))


@pytest.mark.cuda
def test_the_same_commands_run_on_cuda(small, tmp_path):
    assert run(*small, "--epochs", 2, "--device", "cuda", "--out", tmp_path / "run") == 0
    assert "cuda" in json.loads((tmp_path / "run/environment.json").read_text())["device"]


@pytest.mark.parametrize("program", ["train.py", "evaluate.py"])
def test_who_stops_a_program_that_is_still_importing_gets_no_traceback(program, tmp_path):
    (tmp_path / "pyro.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (130, "")


def test_it_is_quiet_where_there_is_no_terminal(small, tmp_path):
    command = [sys.executable, "train.py", *small, "--epochs", "1", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "error"})
    assert done.returncode == 0
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 4
