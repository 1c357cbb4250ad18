"""A run is kept as the row that it is of, and refused where it is of none, unfinished or not judged."""

import json

import pytest

import evaluate
import train
from experiments import kept
from experiments.__main__ import main


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """A folder of rows with one in it, and no results yet."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "little.yaml").write_text("data: data.Digits\nlatent: 3\nhidden: [4]\nepochs: 2\n")
    monkeypatch.setattr(kept, "HERE", folder)
    monkeypatch.setattr(kept, "RESULTS", folder / "results")
    return folder


def trained(rows, out, *options):
    assert train.main(["--config", str(rows / "little.yaml"), "--out", str(out), *options]) == 0
    return out


@pytest.mark.usefixtures("undrawn")
def test_a_judged_run_is_kept(rows, tmp_path):
    run = trained(rows, tmp_path / "run", "--seed", "3")
    assert evaluate.main([str(run), "--samples", "2"]) == 0
    assert main(["keep", str(run)]) == 0
    record = json.loads((rows / "results/little-3.json").read_text())
    assert (record["row"], record["seed"]) == ("little", 3)
    assert record["test"] == json.loads((run / "summary.json").read_text())["test"]
    assert "seed" not in record["settings"]
    assert kept.load()["little"][0].test == record["test"]


@pytest.mark.parametrize(
    ("options", "judged", "message"),
    [
        ([], False, "was not judged"),
        (["--latent", "2"], True, "of no row"),
        (["--epochs", "3"], True, "of no row"),
    ],
)
@pytest.mark.usefixtures("undrawn")
def test_others_are_refused(rows, tmp_path, capsys, options, judged, message):
    run = trained(rows, tmp_path / "run", *options)
    if judged:
        assert evaluate.main([str(run), "--samples", "2"]) == 0
    with pytest.raises(SystemExit) as stopped:
        main(["keep", str(run)])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (rows / "results").exists()


def test_a_run_that_is_no_linear_model_has_no_exact_maximum(rows, tmp_path, capsys):
    run = trained(rows, tmp_path / "run")
    with pytest.raises(SystemExit):
        main(["exact", str(run)])
    assert "no run of linear networks" in capsys.readouterr().err


def test_a_linear_run_is_below_its_maximum(tmp_path, capsys):
    options = "--data Digits --data.binarize no --likelihood Normal --likelihood.learned true --guide FullNormal"
    options += f" --hidden [] --latent 2 --epochs 2 --out {tmp_path}/run"
    assert train.main(options.split()) == 0
    assert main(["exact", f"{tmp_path}/run"]) == 0
    found = json.loads((tmp_path / "run/summary.json").read_text())["exact"]
    assert found["elbo"] < found["log_evidence"] < found["maximum"]
    assert f"exact maximum {found['maximum']:.3f}" in capsys.readouterr().out
