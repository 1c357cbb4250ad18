"""Runs side by side: which are one row, which cannot be compared, and the numbers of a row."""

import csv
import json
import math
import shutil

import numpy as np
import pytest
import yaml

import evaluate
import train
from training import RunFolder, settings
from training.comparison.table import Judged, compared, markdown


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    path = tmp_path_factory.mktemp("compared") / "one"
    options = ["--data", "Digits", "--latent", "2", "--hidden", "8", "--epochs", "2", "--out", str(path)]
    assert train.main(options) == 0
    assert evaluate.main([str(path), "--samples", "2", "--shown", "2"]) == 0
    return path


@pytest.fixture
def runs(one, tmp_path):
    """Folders as runs leave them: two settings of beta, three seeds of the first and two of the second."""

    def folder(beta, seed, loss, **judged):
        path = tmp_path / f"beta{beta}-{seed}"
        shutil.copytree(one, path)
        options = yaml.safe_load((path / "config.yaml").read_text()) | {"beta": beta, "seed": seed, "out": str(path)}
        (path / "config.yaml").write_text(yaml.safe_dump(options))
        summary = json.loads((path / "summary.json").read_text())
        summary["test"] |= {"loss": loss, "nll": loss - 1}
        summary["judged"] |= judged
        (path / "summary.json").write_text(json.dumps(summary))
        return path

    return folder


def test_seeds_are_one_row_with_mean_and_standard_error(runs, tmp_path, capsys):
    folders = [runs(1.0, 0, 10.0), runs(1.0, 1, 11.0), runs(1.0, 2, 12.0), runs(4.0, 0, 9.0), runs(4.0, 1, 9.5)]
    words = [*map(str, folders), "--csv", str(tmp_path / "t.csv"), "--picture", str(tmp_path / "plane.png")]
    assert evaluate.main(["compare", *words]) == 0
    out = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in out.splitlines() if line.startswith("|")] == [
        "beta", "----", "4.0", "1.0",
    ]  # fmt: skip
    error = np.std([10, 11, 12], ddof=1) / 3**0.5
    assert f"11.00 ± {error:.2f}" in out
    assert "**9.25 ± 0.25**" in out
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [(row["beta"], row["seeds"], float(row["nll"])) for row in rows] == [("4.0", "2", 8.25), ("1.0", "3", 10.0)]
    assert float(rows[1]["loss_error"]) == pytest.approx(error)
    assert out.endswith(f"\n\npicture: {tmp_path / 'plane.png'}\n")
    assert (tmp_path / "plane.png").exists()


def test_what_cannot_be_compared_gets_a_table_of_its_own(runs):
    """Another test set, or densities beside masses: no number of one is better than a number of the other."""
    folders = [runs(1.0, 0, 10.0), runs(4.0, 0, 9.0, data="other"), runs(2.0, 0, 8.0, measure="density")]
    tables = compared([Judged.of(folder) for folder in folders])
    assert [len(rows) for rows in tables] == [1, 1, 1]
    assert "**" not in markdown(tables[0]), "the best of one is no best"


def test_a_run_again_is_no_second_seed(runs, tmp_path, capsys):
    first = runs(1.0, 0, 10.0)
    shutil.copytree(first, tmp_path / "copy")
    assert evaluate.main(["compare", str(first), str(tmp_path / "copy")]) == 0
    said = capsys.readouterr()
    assert "the options and the seed of" in said.err
    assert "| 1     |" in said.out
    assert "±" not in said.out.partition("\n")[2]


def test_what_was_not_judged_as_it_is_now_is_named(runs, tmp_path, capsys):
    good, old, gone_on = runs(1.0, 0, 10.0), runs(1.0, 1, 10.0), runs(1.0, 2, 10.0, step=1)
    (old / "summary.json").unlink()
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.png").write_bytes(b"")
    assert evaluate.main(["compare", *map(str, tmp_path.iterdir())]) == 0
    err = capsys.readouterr().err
    assert f"{old}: not judged yet" in err
    assert f"{gone_on}: trained further" in err
    assert "empty holds no run" in err
    assert str(good) not in err
    assert "a.png" not in err
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(["compare", str(old)])
    assert stopped.value.code == 2


def test_options_of_a_part_name_a_row_only_where_the_part_is_the_same(runs):
    judged = Judged.of(runs(1.0, 0, 10.0))

    def other(seed, **options):
        return judged._replace(seed=seed, options=judged.options | options)

    apart = compared([judged, other(0, **{"prior": "Mixture", "prior.components": "10"})])[0]
    assert [list(row.names) for row in apart] == [["prior"]] * 2
    three = [judged, *(other(0, **{"prior": "Mixture", "prior.components": str(n)}) for n in (10, 20))]
    rows = compared(three)[0]
    assert sorted(tuple(row.names.values()) for row in rows) == [
        ("Mixture", "10"), ("Mixture", "20"), ("StandardNormal", "-"),
    ]  # fmt: skip


def test_a_single_seed_has_no_standard_error(runs):
    (row,) = compared([Judged.of(runs(1.0, 0, 10.0))])[0]
    assert row.mean("loss") == 10.0
    assert math.isnan(row.error("loss"))


def test_where_a_run_was_made_does_not_name_it(one):
    found = settings.of_results(RunFolder(one).settings())
    assert not {"seed", "out", "device", "compile", "data.path"} & found.keys()
    assert {"prior", "latent", "epochs", "optimizer.lr"} <= found.keys()
