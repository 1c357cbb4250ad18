"""What training is judged on, and what may be chosen by it."""

import json

import numpy as np
import pytest
import torch

import evaluate
import train
from data import Digits
from data.validation import with_validation
from tests.test_train import metrics, refused, run, same, state
from training import Experiment, RunFolder, checkpoint, history, judgement, record
from training.history import best, judged_on, waited


def small_lab(seed=0, **options):
    return Experiment(data=Digits(**options), latent=2, hidden=4, seed=seed, device="cpu")


def test_the_split_is_a_part_of_the_training_data_drawn_by_the_seed():
    whole = Digits().splits()
    one, same_seed, other = (with_validation(whole, 0.1, seed) for seed in (3, 3, 4))
    assert (len(one.train), len(one.validation)) == (1293, 144)
    assert np.array_equal(one.validation, same_seed.validation)
    assert not np.array_equal(one.validation, other.validation)
    assert np.array_equal(one.test, whole.test)
    joined = np.concatenate([one.train, one.validation]).reshape(1437, -1)
    assert sorted(map(tuple, joined)) == sorted(map(tuple, whole.train.reshape(1437, -1))), "all of them, none twice"
    labelled = {datum.tobytes(): label for datum, label in zip(whole.train, whole.train_labels, strict=True)}
    assert all(labelled[x.tobytes()] == label for x, label in zip(one.train, one.train_labels, strict=True))


def test_a_number_of_data_is_as_good_as_a_share():
    assert len(with_validation(Digits().splits(), 200.0, 0).validation) == 200


def test_without_a_share_nothing_is_set_aside():
    whole = Digits().splits()
    assert with_validation(whole, None, 0) is whole


@pytest.mark.parametrize("share", [0.0, -0.1, 1.0, 1.5, 2.5])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match="a share of the training data between 0 and 1"):
        Digits(validation=share)


@pytest.mark.parametrize("share", [0.0005, 1437, 5000])
def test_a_split_of_too_few_or_of_all_is_refused(share):
    with pytest.raises(ValueError, match="of 1437 training data"):
        with_validation(Digits().splits(), share, 0)


def test_the_test_set_is_the_same_bits_with_and_without_a_split():
    for options in ({}, {"binarize": "static"}):
        with_split, without = small_lab(validation=0.2, **options).dataset, small_lab(**options).dataset
        assert torch.equal(with_split.test, without.test)
        assert set(with_split.validation.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(with_split.validation, small_lab(validation=0.2, **options).dataset.validation)


def test_the_split_is_part_of_what_the_data_are_known_by():
    found = [record.fingerprints(with_validation(Digits().splits(), 0.1, seed)) for seed in (0, 1)]
    assert {"train", "validation", "test"} <= found[0].keys()
    assert found[0]["validation"] != found[1]["validation"]
    assert found[0]["test"] == found[1]["test"]


def test_training_with_a_split_never_asks_the_test_set_for_a_score(small, tmp_path, monkeypatch):
    scored, original = [], judgement.evidence

    def spy(model, guide, x, **how):
        scored.append(x)
        return original(model, guide, x, **how)

    monkeypatch.setattr(judgement, "evidence", spy)
    assert run(*small, "--data.validation", 0.25, "--epochs", 2, "--out", tmp_path / "run") == 0
    lab = Experiment.load(RunFolder(tmp_path / "run"))
    assert len(scored) == 3, "before the first step and after each epoch"
    assert all(torch.equal(x, lab.dataset.validation) for x in scored)
    assert all(not name.startswith("test") for row in metrics(tmp_path / "run") for name in row)


def test_nothing_is_chosen_by_the_test_set(small, tmp_path, capsys):
    assert run(*small, "--epochs", 2, "--out", tmp_path / "run") == 0
    assert json.loads((tmp_path / "run/summary.json").read_text())["best"] is None
    assert not (tmp_path / "run" / checkpoint.FILES["best"]).exists()
    code, said = refused(capsys, "--out", tmp_path / "run", "--resume", "--epochs", 3, "--checkpoint", "best")
    assert code == 5
    assert "no best checkpoint: it is chosen by the validation -ELBO" in said


@pytest.mark.usefixtures("undrawn")
def test_the_best_checkpoint_is_that_of_the_best_validation_score(small, tmp_path, monkeypatch, capsys):
    scores = iter([9.0, 5.0, 3.0, 4.0, 6.0])
    made = {"validation_rate": 1.0, "validation_distortion": 2.0}
    monkeypatch.setattr(judgement, "scores", lambda lab: {"validation_loss": next(scores)} | made)
    out = tmp_path / "run"
    assert run(*small, "--data.validation", 0.25, "--epochs", 4, "--out", out) == 0
    assert f"evaluate.py {out} --checkpoint best (epoch 2, 3.00)" in capsys.readouterr().out
    assert checkpoint.load(out, "cpu", "best")["history"][-1]["epoch"] == 2
    assert json.loads((out / "summary.json").read_text())["best"]["epoch"] == 2
    steps = []
    for which in ("best", "last"):
        assert evaluate.main([str(out), "--samples", "2", "--checkpoint", which]) == 0
        steps.append(json.loads((out / "summary.json").read_text())["judged"]["step"])
    assert steps[0] * 2 == steps[1]


@pytest.mark.usefixtures("undrawn")
def test_a_best_that_an_earlier_version_chose_by_the_test_set_is_said_to_be_one(small, tmp_path, capsys):
    assert run(*small, "--epochs", 1, "--out", tmp_path / "run") == 0
    checkpoint.save(tmp_path / "run", checkpoint.load(tmp_path / "run", "cpu"), best=True)
    assert evaluate.main([str(tmp_path / "run"), "--samples", "2", "--checkpoint", "best"]) == 0
    assert "chosen by the test set" in capsys.readouterr().err


def rows(*scores):
    return [{"epoch": i + 1, "validation_loss": value} for i, value in enumerate(scores)]


def test_the_best_is_the_first_of_the_lowest_and_waiting_is_counted_from_it():
    assert best(rows(3.0, 2.0, 2.0, 2.5))["epoch"] == 2
    assert waited(rows(3.0, 2.0, 2.0, 2.5)) == 2
    assert waited(rows(3.0, 2.0)) == 0
    assert waited(rows(float("nan"), float("inf"))) == 2
    assert waited([]) == 0
    assert best([{"epoch": 1, "test_loss": 1.0}]) is None
    assert judged_on({"test_loss": 1.0}) == "test"


def stopping(small, monkeypatch):
    """A run whose score depends on the epoch alone: better until the second, then worse."""
    made = {"validation_rate": 1.0, "validation_distortion": 2.0}
    told = []
    original = train.State

    class Watched(original):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            told[:] = [self]

    def scores(lab):
        epoch = len(told[0].history) + bool(told[0].step)
        return {"validation_loss": float(abs(epoch - 2))} | made

    monkeypatch.setattr(train, "State", Watched)
    monkeypatch.setattr(judgement, "scores", scores)
    return [*small, "--data.validation", 0.25]


def test_patience_ends_a_run_and_a_resumed_one_the_same(small, tmp_path, monkeypatch, capsys):
    options = [*stopping(small, monkeypatch), "--patience", 3]
    assert run(*options, "--epochs", 50, "--out", tmp_path / "straight") == 0
    assert "stopped early: no better validation -ELBO for 3 epochs" in capsys.readouterr().out
    assert [row["epoch"] for row in metrics(tmp_path / "straight")] == [1, 2, 3, 4, 5]
    assert run(*options, "--epochs", 4, "--out", tmp_path / "two") == 0
    assert run("--out", tmp_path / "two", "--resume", "--epochs", 50) == 0
    assert same(state(tmp_path / "two"), state(tmp_path / "straight"))
    before = (tmp_path / "two/checkpoint.pt").read_bytes()
    assert run("--out", tmp_path / "two", "--resume") == 0
    assert (tmp_path / "two/checkpoint.pt").read_bytes() == before, "it has ended: nothing more is trained"
    assert run("--out", tmp_path / "two", "--resume", "--patience", 4) == 0
    assert len(metrics(tmp_path / "two")) == 6, "more patience, one more epoch"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--patience", 3], "patience = 3 is judged on a validation split: add --data.validation"),
        (["--patience", 0, "--data.validation", 0.2], "patience = 0: at least 1"),
        (["--data.validation", 1.5], "validation = 1.5"),
        (["--data.validation", 48], "of 48 training data"),
    ],
)
def test_what_cannot_be_judged_is_refused(small, tmp_path, capsys, arguments, message):
    code, said = refused(capsys, *small, *arguments, "--out", tmp_path / "run")
    assert code == 2
    assert message in said
    assert not (tmp_path / "run").exists()


def test_the_curves_are_of_the_split_that_was_judged(small, tmp_path):
    from training.report.content import _history

    found = metrics(tmp_path / "run") if run(*small, "--epochs", 1, "--out", tmp_path / "run") == 0 else []
    assert _history(found)["split"] == "test"
    made = {"epoch": 1, "loss": 2.0, "validation_loss": 3.0, "validation_rate": 1.0, "validation_distortion": 2.0}
    assert _history([made]) == {
        "split": "validation",
        "epoch": [1.0],
        "loss": [2.0],
        "judged_loss": [3.0],
        "judged_distortion": [2.0],
        "judged_rate": [1.0],
    }
    assert history.score(made) == 3.0


@pytest.mark.parametrize("survives", range(5))
def test_a_crash_between_the_names_of_the_best_is_mended(small, tmp_path, monkeypatch, survives):
    """Of the last epoch, the best: its checkpoint is written, and the process dies before it is called the best too."""
    options, out = [*small, "--data.validation", 0.25, "--optimizer", "Adam", "--optimizer.lr", 0.01], tmp_path / "run"
    assert run(*options, "--epochs", 2, "--out", out) == 0
    assert run(*options, "--epochs", 3, "--out", tmp_path / "straight") == 0
    assert history.best(metrics(tmp_path / "straight"))["epoch"] == 3
    replaced, rename = [], checkpoint.os.replace

    def replace(source, target):
        if len(replaced) == survives:
            raise KeyboardInterrupt
        if "checkpoint" in str(target):
            replaced.append(target)
        rename(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        run("--out", out, "--resume", "--epochs", 3)
    monkeypatch.undo()
    assert run("--out", out, "--resume", "--epochs", 3) == 0
    assert same(state(out, "best"), state(tmp_path / "straight", "best"))
    assert same(state(out), state(tmp_path / "straight"))
