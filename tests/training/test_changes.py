"""What a run that goes on may change, and how that is kept."""

import json

import pytest
import torch
import yaml

import evaluate
from data.files import write_atomically
from tests.test_train import metrics, refused, run, same, state
from training import Processes, State, checkpoint, settings

ADAM = ["--optimizer", "Adam", "--optimizer.lr", 0.01]


def test_a_changed_learning_rate_is_that_of_a_run_whose_rate_was_set_there(small, tmp_path, monkeypatch):
    out = tmp_path / "run"
    assert run(*small, *ADAM, "--epochs", 2, "--out", out) == 0
    assert run("--out", out, "--resume", "--epochs", 4, "--change", "optimizer.lr=0.2") == 0

    original = State.advance

    def advance(self, loss, count, clip):
        if self.step == 6:  # two epochs of three steps
            self.optimizer.param_groups[0]["lr"] = 0.2
        return original(self, loss, count, clip)

    monkeypatch.setattr(State, "advance", advance)
    assert run(*small, *ADAM, "--epochs", 4, "--out", tmp_path / "by hand") == 0
    assert same(state(out), state(tmp_path / "by hand"))
    assert metrics(out) == metrics(tmp_path / "by hand")


@pytest.mark.usefixtures("undrawn")
def test_the_record_says_when_and_what(small, tmp_path, capsys):
    out = tmp_path / "run"
    assert run(*small, *ADAM, "--epochs", 2, "--out", out) == 0
    assert run("--out", out, "--resume", "--epochs", 3, "--change", "optimizer.lr=0.2", "clip=5") == 0
    assert "clip was inf, is 5.0; optimizer.lr was 0.01, is 0.2 from step 6 on" in capsys.readouterr().err
    assert run("--out", out, "--resume", "--epochs", 4, "--change", "optimizer.lr=0.3") == 0
    expected = [
        {"step": 6, "option": "clip", "before": float("inf"), "now": 5.0},
        {"step": 6, "option": "optimizer.lr", "before": 0.01, "now": 0.2},
        {"step": 9, "option": "optimizer.lr", "before": 0.2, "now": 0.3},
    ]
    assert checkpoint.load(out, "cpu")["record"]["changes"] == expected
    assert json.loads((out / "summary.json").read_text())["changes"] == expected
    text = (out / "config.yaml").read_text()
    assert "# optimizer.lr was 0.01 up to step 6, 0.2 after it\n" in text
    assert "# optimizer.lr was 0.2 up to step 9, 0.3 after it\n" in text
    assert yaml.safe_load(text)["optimizer"]["init_args"]["lr"] == 0.3
    assert run("--out", out, "--resume", "--epochs", 5) == 0
    assert checkpoint.load(out, "cpu")["record"]["changes"] == expected, "kept by a run that goes on without another"
    assert (out / "config.yaml").read_text().count("# ") == 3
    assert checkpoint.load(out, "cpu")["optimizer"]["param_groups"][0]["lr"] == 0.3
    assert evaluate.main([str(out), "--samples", "2"]) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["latent=3"], "a run that goes on keeps latent; what may change: optimizer.NAME, schedule.NAME, clip"),
        (["batch_size=3"], "keeps batch_size"),
        (["optimizer=SGD"], "keeps optimizer;"),
        (["epochs=3"], "--epochs 3 beside --resume will do"),
        (["optimizer.lr"], "NAME=VALUE, such as optimizer.lr=3e-4"),
        (["optimizer.lr="], "NAME=VALUE, such as optimizer.lr=3e-4"),
        (["optimizer.lr=much"], "--optimizer.lr: much is given, and it takes a number"),
        (["optimizer.ls=1"], "Adam takes no option ls; There are: lr"),
    ],
)
def test_what_may_not_change_is_refused_by_name(small, tmp_path, capsys, changes, message):
    assert run(*small, *ADAM, "--epochs", 1, "--out", tmp_path / "run") == 0
    before = (tmp_path / "run/config.yaml").read_bytes()
    code, said = refused(capsys, "--out", tmp_path / "run", "--resume", "--epochs", 2, "--change", *changes)
    assert code == 2
    assert message in said
    assert (tmp_path / "run/config.yaml").read_bytes() == before


def test_without_being_told_nothing_changes(small, tmp_path, capsys):
    assert run(*small, *ADAM, "--epochs", 1, "--out", tmp_path / "run") == 0
    code, said = refused(capsys, "--out", tmp_path / "run", "--resume", "--epochs", 2, "--optimizer.lr", 0.5)
    assert code == 5
    assert "optimizer.lr was 0.01, is 0.5; --change NAME=VALUE changes it" in said
    code, said = refused(capsys, *small, "--change", "clip=5", "--out", tmp_path / "new")
    assert code == 2
    assert "add --resume" in said


@pytest.mark.parametrize("survives", range(6))
@pytest.mark.usefixtures("undrawn")
def test_a_run_that_is_killed_as_it_changes_goes_on_with_the_change(small, tmp_path, monkeypatch, survives):
    """The configuration is written before the checkpoint: whichever is there, the next --resume makes both new."""
    out = tmp_path / "run"
    assert run(*small, *ADAM, "--epochs", 1, "--out", out) == 0
    calls = []

    def killed(original):
        def write(path, content):
            if len(calls) == survives:
                raise KeyboardInterrupt
            calls.append(path)
            original(path, content)

        return write

    for module in ("training.checkpoint", "training.run_folder"):
        monkeypatch.setattr(f"{module}.write_atomically", killed(write_atomically))
    with pytest.raises(KeyboardInterrupt):
        run("--out", out, "--resume", "--epochs", 3, "--change", "optimizer.lr=0.2")
    monkeypatch.undo()
    told = yaml.safe_load((out / "config.yaml").read_text())["optimizer"]["init_args"]["lr"] == 0.2
    assert told == bool(survives), "the configuration is the first file that is written"
    assert evaluate.main([str(out), "--samples", "2"]) == 0
    assert run("--out", out, "--resume", "--epochs", 3) == 0
    found = checkpoint.load(out, "cpu")
    assert found["optimizer"]["param_groups"][0]["lr"] == (0.2 if told else 0.01)
    assert [change["step"] for change in found["record"]["changes"]] == ([3] if told else [])


def test_only_named_options_are_taken_anew():
    weights = [torch.nn.Parameter(torch.zeros(2))]
    moves = torch.optim.Adam(weights, lr=0.1, betas=(0.5, 0.9))
    found = State(torch.nn.Linear(1, 1), moves, torch.device("cpu"), Processes())
    moves.param_groups[0].update(lr=7.0, betas=(0.0, 0.0))
    found.change(["clip"])
    found.change(["optimizer.betas"])
    assert moves.param_groups[0]["lr"] == 7.0
    assert moves.param_groups[0]["betas"] == (0.5, 0.9)


def test_the_rule_is_one():
    assert settings.changeable("optimizer.lr")
    assert settings.changeable("clip")
    assert not any(map(settings.changeable, ("optimizer", "latent", "data.binarize", "elbo.num_particles", "seed")))
