"""Several seeds in turn are the runs that they would be one by one."""

import re
import signal
import statistics

import pytest

import train
from tests.test_train import metrics, refused, run, same, state
from training import RunFolder

SPLIT = ["--data.validation", 0.25, "--epochs", 2]


def test_every_seed_is_the_run_that_it_is_alone(small, tmp_path, capsys):
    out = tmp_path / "all"
    assert run(*small, *SPLIT, "--seed", 4, "--seeds", 3, "--out", out) == 0
    said = capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["seed-4", "seed-5", "seed-6"]
    assert run(*small, *SPLIT, "--seed", 5, "--out", tmp_path / "alone") == 0
    assert same(state(out / "seed-5"), state(tmp_path / "alone"))
    assert [RunFolder(path).settings()["seed"] for path in sorted(out.iterdir())] == [4, 5, 6]
    scores = [RunFolder(path).summary()["best"]["validation_loss"] for path in sorted(out.iterdir())]
    mean, error = re.search(r"3 seeds: validation -ELBO (\S+) nats per datum, standard error (\S+)", said).groups()
    assert float(mean) == pytest.approx(statistics.fmean(scores), abs=0.005)
    assert float(error) == pytest.approx(statistics.stdev(scores) / 3**0.5, abs=0.005)


def test_those_that_were_stopped_go_on_and_the_others_begin(small, tmp_path, monkeypatch, capsys):
    options = [*small, *SPLIT, "--data.binarize", "dynamic", "--seeds", 3]
    assert run(*options, "--out", tmp_path / "straight") == 0
    original, calls = train.Steps.__call__, []

    def stop_in_the_second(self, index):
        calls.append(None)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGTERM)
        original(self, index)

    monkeypatch.setattr(train.Steps, "__call__", stop_in_the_second)
    assert run(*options, "--out", tmp_path / "two") == 143
    monkeypatch.undo()
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["seed-0", "seed-1"]
    assert run("--resume", "--seeds", 3, "--out", tmp_path / "two") == 0
    for seed in range(3):
        one, other = (tmp_path / name / f"seed-{seed}" for name in ("two", "straight"))
        assert same(state(one), state(other))
        assert metrics(one) == metrics(other)


def test_one_that_diverges_does_not_end_the_others(small, tmp_path):
    wild = ["--optimizer", "Adam", "--optimizer.lr", 1e3]
    assert run(*small, *SPLIT, *wild, "--seeds", 2, "--out", tmp_path / "run") == 4
    assert len(list((tmp_path / "run").glob("seed-*/config.yaml"))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", 0], "seeds = 0: at least 1"),
        (["--seeds", "many"], "--seeds: many is given, and it takes a whole number"),
        (["--seeds", 2, "--resume"], "holds no runs of several seeds"),
        (["--seeds", 2, "--latnt", 3], "did you mean --latent?"),
    ],
)
def test_what_is_no_number_of_seeds_is_refused(tmp_path, capsys, arguments, message):
    code, said = refused(capsys, *arguments, "--out", tmp_path / "run")
    assert code == 2
    assert message in said
    assert not (tmp_path / "run").exists()


def test_several_processes_and_a_file_are_refused(tmp_path, capsys, monkeypatch):
    (tmp_path / "own.yaml").write_text("seeds: 3\n")
    code, said = refused(capsys, "--config", tmp_path / "own.yaml", "--out", tmp_path / "run")
    assert (code, "on the command line" in said) == (2, True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, said = refused(capsys, "--seeds", 2, "--out", tmp_path / "run")
    assert (code, "one process" in said) == (2, True)
