import json

import numpy as np
import pytest
from matplotlib.image import imread

import evaluate
import train


@pytest.fixture
def trained(small, tmp_path):
    assert train.main([*small, "--epochs", "2", "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def test_it_judges_a_run(trained, capsys):
    assert evaluate.main([str(trained), "--samples", "200"]) == 0
    out = capsys.readouterr().out
    found = json.loads((trained / "summary.json").read_text())["test"]
    assert found["loss"] == pytest.approx(found["rate"] + found["distortion"])
    assert found["nll"] < found["loss"], "more samples bound more tightly"
    assert 0 < found["nll_monte_carlo_error"] < found["nll_test_set_error"]
    assert found["active_units"] <= found["latent"] == 2
    for number in (found["loss"], found["nll"], found["rate"], found["distortion"]):
        assert f"{number:.2f}" in out


def test_the_memory_bound_changes_nothing_but_the_draws(trained):
    found = []
    for memory in ("1", "256"):
        assert evaluate.main([str(trained), "--samples", "500", "--memory", memory]) == 0
        found.append(json.loads((trained / "summary.json").read_text())["test"])
    error = np.hypot(*(part["nll_monte_carlo_error"] for part in found))
    assert abs(found[0]["nll"] - found[1]["nll"]) < 4 * error


def test_it_draws_pictures(trained):
    assert evaluate.main([str(trained), "--samples", "2"]) == 0
    names = {path.name for path in (trained / "figures").iterdir()}
    assert names == {f"{name}.png" for name in ("reconstructions", "samples", "latent", "walk", "curves")}
    for path in (trained / "figures").iterdir():
        assert imread(path)[..., :3].std() > 0.01, f"{path.name} is blank"


def test_flat_data_are_drawn_as_profiles(tmp_path):
    np.save(tmp_path / "x.npy", (np.random.default_rng(0).random((40, 12)) < 0.5).astype(np.float32))
    options = f"--data Arrays --data.path {tmp_path}/x.npy --data.binarize no --latent 1 --hidden 4 --epochs 1".split()
    assert train.main([*options, "--out", str(tmp_path / "run")]) == 0
    assert evaluate.main([str(tmp_path / "run"), "--samples", "2"]) == 0
    assert imread(tmp_path / "run/figures/reconstructions.png")[..., :3].std() > 0.01


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 2, "holds no run"),
        ([], 2, "run"),
        (["{run}", "--samples", "0"], 2, "samples"),
        (["{run}", "--sampels", "3"], 2, "did you mean --samples?"),
        (["{damaged}"], 5, "damaged"),
    ],
)
def test_mistakes_get_one_message(trained, capsys, arguments, code, message):
    if "{damaged}" in arguments:
        (trained / "checkpoint.pt").write_bytes(b"?")
    with pytest.raises(SystemExit) as stopped:
        evaluate.main([argument.format(run=trained, damaged=trained) for argument in arguments])
    assert stopped.value.code == code
    assert message in capsys.readouterr().err
