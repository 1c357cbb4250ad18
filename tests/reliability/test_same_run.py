"""A run that goes on, and a run that is judged, are the run that was: its options, its data, its one writer."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

import evaluate
import train
from training import Experiment, RunFolder, checkpoint, record
from training.lock import Lock


def go(*arguments):
    return train.main(list(map(str, arguments)))


def refused(capsys, main, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, arguments)))
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return stopped.value.code, said


@pytest.fixture
def run(small, tmp_path):
    assert go(*small, "--epochs", 2, "--out", tmp_path / "run") == 0
    return tmp_path / "run"


EVERY = {
    "evaluate": lambda run: (evaluate.main, run, "--samples", 2),
    "resume": lambda run: (train.main, "--out", run, "--resume", "--epochs", 3),
}


@pytest.mark.parametrize("command", EVERY)
@pytest.mark.parametrize("part", ["train", "test", "test_labels"])
def test_other_data_are_refused(run, small, capsys, command, part):
    path = small[small.index("--data.path") + 1]
    with np.load(path) as file:
        arrays = dict(file)
    arrays[part] = arrays[part].copy()
    arrays[part].flat[0] = 1 - arrays[part].flat[0]
    np.savez(path, **arrays)
    code, said = refused(capsys, *EVERY[command](run))
    assert code == 5
    assert f"trained on: {part} differ" in said


def test_the_same_numbers_in_another_shape_or_type_are_other_data():
    ones = [np.ones((2, 3)), np.ones((3, 2)), np.ones((2, 3), np.float32)]
    assert len({record._sha256(array) for array in ones}) == 3


@pytest.mark.parametrize("command", EVERY)
@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ("hello", 2, "not the whole configuration"),
        ("", 2, "not the whole configuration"),
        ("[1, 2]", 2, "not the whole configuration"),
        ("a: b: c", 2, "cannot be read"),
        ("half", 2, "config.yaml"),
        ("seed: 3", 5, "seed was 0, is 3"),
        ("hidden: 9", 5, "hidden was 8, is 9"),
    ],
)
def test_a_configuration_that_is_another_is_refused(run, capsys, command, content, code, message):
    path = run / "config.yaml"
    whole = path.read_text()
    if content == "half":
        content = whole[: len(whole) // 2]
    elif code == 5:
        content = yaml.safe_dump(yaml.safe_load(whole) | yaml.safe_load(content))
    path.write_text(content)
    found, said = refused(capsys, *EVERY[command](run))
    assert (found, len(said.splitlines())) == (code, 1)
    assert message in said


def test_a_refusal_names_what_changed_and_nothing_else(run, capsys):
    code, said = refused(capsys, train.main, "--out", run, "--resume", "--optimizer", "Adam", "--optimizer.lr", 0.1)
    assert code == 5
    assert "optimizer.lr was" in said
    assert len(said) < 300


def test_a_run_is_not_shortened(run, capsys):
    before = (run / "config.yaml").read_bytes()
    code, said = refused(capsys, train.main, "--out", run, "--resume", "--epochs", 1)
    assert code == 2
    assert "epochs = 1, but the run is at epoch 2 already" in said
    assert (run / "config.yaml").read_bytes() == before


@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "metrics.jsonl", "checkpoint.pt"])
def test_overwrite_leaves_what_no_run_wrote(small, tmp_path, capsys, name):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / name).write_text("years of it")
    code, said = refused(capsys, train.main, *small, "--out", tmp_path / "work", "--overwrite")
    assert code == 2
    assert f"{name} may be no run's" in said
    assert (tmp_path / "work" / name).read_text() == "years of it"


def test_overwrite_leaves_pictures_that_no_run_drew(run, small):
    (run / "figures").mkdir()
    (run / "figures" / "mine.png").write_text("mine")
    assert go(*small, "--epochs", 1, "--out", run, "--overwrite") == 0
    assert (run / "figures" / "mine.png").exists()


@pytest.mark.usefixtures("undrawn")
def test_the_path_of_the_data_holds_from_every_folder(small, tmp_path, monkeypatch, capsys):
    at = small.index("--data.path") + 1
    monkeypatch.chdir(tmp_path)
    relative = [*small[:at], os.path.basename(small[at]), *small[at + 1 :]]
    assert go(*relative, "--epochs", 1, "--out", tmp_path / "run") == 0
    assert f"from {small[at]}" in capsys.readouterr().out
    monkeypatch.chdir("/")
    assert go("--out", tmp_path / "run", "--resume", "--epochs", 2) == 0
    assert evaluate.main([str(tmp_path / "run"), "--samples", "2"]) == 0


def test_data_that_moved_are_known_by_their_content(run, small, tmp_path):
    path = small[small.index("--data.path") + 1]
    os.rename(path, tmp_path / "moved.npz")
    assert go("--out", run, "--resume", "--epochs", 3, "--data.path", tmp_path / "moved.npz") == 0


def test_what_changed_in_the_machine_is_said(run, capsys):
    saved = checkpoint.load(run, "cpu")
    saved["record"]["environment"]["packages"]["torch"] = "1.0"
    checkpoint.save(run, saved)
    assert go("--out", run, "--resume", "--epochs", 3) == 0
    said = capsys.readouterr().err
    assert f"torch was 1.0, is {torch.__version__}" in said
    assert len(json.loads((run / "environment.json").read_text())["resumed"]) == 1


HOLDER = """
import sys
from pathlib import Path
from training.lock import Lock
lock = Lock(Path(sys.argv[1]))
lock.take()
print("taken", flush=True)
sys.stdin.read()
"""


@pytest.mark.usefixtures("undrawn")
def test_a_folder_has_one_writer_and_the_lock_dies_with_it(run, small, capsys):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "taken\n"
    for options in (["--resume", "--epochs", 3], [*small, "--overwrite"]):
        code, said = refused(capsys, train.main, *options, "--out", run)
        assert code == 2
        assert f"written by process {holder.pid} on" in said
    assert evaluate.main([str(run), "--samples", "2"]) == 0, "who judges does not write the run"
    holder.kill()
    holder.communicate()
    assert go("--out", run, "--resume", "--epochs", 3) == 0


def test_who_comes_second_to_a_new_folder_is_refused(small, tmp_path, capsys):
    """Both saw an empty folder; the second one finds out when it is about to write."""
    first, second = (RunFolder(tmp_path / "run") for _ in range(2))
    settings = {"latent": 1}
    first.claim(settings)
    second.claim(settings)
    first.open()
    with pytest.raises(ValueError, match="being written by process"):
        second.open()
    first.release()
    with pytest.raises(ValueError, match="not empty"):
        second.open()
    second.release()


def test_a_lock_can_be_taken_again_after_its_release(tmp_path):
    one, two = Lock(tmp_path), Lock(tmp_path)
    one.take()
    one.take()
    with pytest.raises(ValueError, match="being written"):
        two.take()
    one.release()
    two.take()
    two.release()


def test_a_checkpoint_of_other_options_is_refused(run, small, tmp_path, capsys):
    """The configuration of one run, the weights of another."""
    assert go(*small, "--seed", 1, "--epochs", 2, "--out", tmp_path / "other") == 0
    for name in ("checkpoint.pt", "checkpoint.pt.sha256"):
        (run / name).write_bytes((tmp_path / "other" / name).read_bytes())
    for command in EVERY.values():
        code, said = refused(capsys, *command(run))
        assert code == 5
        assert "seed was 1, is 0" in said


def test_from_the_previous_and_the_best_a_run_goes_on_as_it_did(run, small, tmp_path, capsys):
    assert go(*small, "--epochs", 4, "--out", tmp_path / "straight") == 0
    (run / "checkpoint.pt").write_bytes(b"?")
    code, said = refused(capsys, train.main, "--out", run, "--resume", "--epochs", 4)
    assert code == 5
    assert "--checkpoint previous" in said
    assert go("--out", run, "--resume", "--epochs", 4, "--checkpoint", "previous") == 0
    one, other = (Experiment.load(RunFolder(path)) for path in (run, tmp_path / "straight"))
    for p, q in zip(one.objective.parameters(), other.objective.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_diverges_keeps_its_best_and_says_so(small, tmp_path, capsys):
    run = tmp_path / "run"
    small = [*small, "--data.validation", 0.5]
    wild = ["--optimizer", "Adam", "--optimizer.lr", 1e3, "--epochs", 3, "--out", run]
    assert go(*small, *wild) == 4
    said = capsys.readouterr().err
    assert "the run diverged: validation -ELBO" in said
    best = json.loads((run / "summary.json").read_text())["best"]
    assert checkpoint.load(run, "cpu", "best")["step"] == best["step"]
    assert evaluate.main([str(run), "--samples", "2", "--checkpoint", "best"]) == 0


def test_a_step_that_is_not_finite_names_its_term(small, tmp_path, capsys):
    assert go(*small, "--optimizer", "SGD", "--optimizer.lr", 1e30, "--epochs", 3, "--out", tmp_path / "run") == 4
    said = capsys.readouterr().err
    assert "not finite at step 1: draws of z are not finite; the reconstruction term -log p(x|z) is" in said
    assert "the largest parameter is model." in said or "the largest parameter is guide." in said
    assert "--optimizer.lr" in said
    assert len(said.splitlines()) <= 3


@pytest.mark.parametrize("left", ["nothing", "an older one"])
def test_the_best_checkpoint_is_kept_by_the_next_start_of_a_run_that_was_killed_before_it_did(small, tmp_path, left):
    out = tmp_path / "run"
    assert train.main([*small, "--data.validation", "0.5", "--epochs", "1", "--out", str(out)]) == 0
    best = out / checkpoint.FILES["best"]
    best.unlink()
    if left == "an older one":
        best.write_bytes((out / checkpoint.FILES["previous"]).read_bytes())
    assert train.main(["--out", str(out), "--resume"]) == 0
    steps = [checkpoint.load(out, "cpu", name)["step"] for name in ("last", "best", "previous")]
    assert steps == [2, 2, 0]
