"""A trained run used from a shell: what is written is what `Run` gives; what does not fit is refused in one line."""

import numpy as np
import pytest
import torch
from PIL import Image

import evaluate
import train
from training import Run


@pytest.fixture
def x(folder, tmp_path):
    data = Run(folder, device="cpu").lab.dataset.test[:9].numpy()
    np.save(tmp_path / "x.npy", data)
    np.savez(tmp_path / "two.npz", mine=data, other=data[:2])
    return data


def use(folder, command, *arguments):
    return evaluate.main([str(folder), command, *map(str, arguments)])


def test_codes(folder, x, tmp_path):
    run = Run(folder, device="cpu")
    assert use(folder, "encode", tmp_path / "x.npy") == 0
    found = np.load(folder / "codes.npz")
    np.testing.assert_array_equal(found["codes"], run.encode(x))
    with torch.no_grad():
        np.testing.assert_allclose(found["deviations"], run.guide.posterior(torch.as_tensor(x)).stddev, rtol=1e-6)
    assert use(folder, "encode", tmp_path / "two.npz", "--array", "mine", "--out", tmp_path / "codes.npy") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), found["codes"])


def test_reconstructions_and_scores(folder, x, tmp_path, capsys):
    run = Run(folder, device="cpu")
    assert use(folder, "reconstruct", tmp_path / "x.npy") == 0
    np.testing.assert_array_equal(np.load(folder / "reconstructions.npz")["reconstructions"], run.reconstruct(x))
    assert use(folder, "score", tmp_path / "x.npy", "--samples", 40, "--seed", 2) == 0
    scores, found = np.load(folder / "scores.npz"), run.log_evidence(x, samples=40, seed=2)
    np.testing.assert_array_equal(scores["nll"], -found.log_evidence)
    np.testing.assert_allclose(scores["rate"] + scores["distortion"], -found.elbo, rtol=1e-12)
    assert f"{scores['nll'].max():.2f}, of number {scores['nll'].argmax()}" in capsys.readouterr().out


def test_samples_come_with_their_codes_and_means(folder):
    run = Run(folder, device="cpu")
    assert use(folder, "sample", 700, "--seed", 3) == 0
    found = np.load(folder / "samples.npz")
    np.testing.assert_array_equal(found["samples"], run.sample(700, seed=3))
    with torch.no_grad():
        np.testing.assert_allclose(found["means"], run.model.decode(torch.as_tensor(found["codes"])).mean, rtol=1e-5)


def test_export(folder, tmp_path):
    assert use(folder, "export", tmp_path / "nets", "--format", "pt2") == 0
    assert {path.name for path in (tmp_path / "nets").iterdir()} == {"encoder.pt2", "decoder.pt2"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["encode", "{tmp}/none.npy"], 3, "No such file"),
        (["encode", "{tmp}/wide.npy"], 2, "shape (count, 8, 8)"),
        (["score", "{tmp}/raw.npy"], 2, "from 0 to 16, and the run's from 0 to 1"),
        (["encode", "{tmp}/two.npz"], 3, "mine, other"),
        (["encode", "{tmp}/two.npz", "--array", "third"], 3, "there is no third"),
        (["encode", "{tmp}/x.npy", "--array", "mine"], 3, ".npz alone"),
        (["encode", "{tmp}/x.npy", "--out", "codes.txt"], 2, ".npz or .npy"),
        (["encode", "{tmp}/x.npy", "--ouT", "codes.txt"], 2, "did you mean --out?"),
        (["sample", "0"], 2, "one at least"),
        (["score", "{tmp}/x.npy", "--samples", "0"], 2, "one at least"),
        (["--samples", "3", "encode", "{tmp}/x.npy"], 2, "options of a command follow it"),
        (["encod", "{tmp}/x.npy"], 2, "encode"),
        (["encode", "{tmp}/x.npy", "--checkpoint", "previous"], 0, ""),
    ],
)
def test_what_does_not_fit_gets_one_line(arguments, code, message, folder, x, tmp_path, capsys):
    np.save(tmp_path / "wide.npy", np.zeros((3, 9, 9), np.float32))
    np.save(tmp_path / "raw.npy", x * 16)
    words = [str(folder), *(word.format(tmp=tmp_path) for word in arguments)]
    if not code:
        assert evaluate.main(words) == 0
        return
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(words)
    error = capsys.readouterr().err
    assert stopped.value.code == code
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_overwriting_a_run_removes_what_was_made_with_it(folder, x, tmp_path):
    options = ["--data", "Digits", "--latent", "3", "--hidden", "16", "--epochs", "1", "--out", str(tmp_path / "run")]
    assert train.main(options) == 0
    assert use(tmp_path / "run", "sample", 2) == 0
    assert train.main([*options, "--overwrite"]) == 0
    assert not (tmp_path / "run/samples.npz").exists()


def test_images_are_read_as_the_run_reads_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("ELBOLAB_DATA", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    (tmp_path / "all").mkdir()
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8)).save(tmp_path / f"all/{number:02d}.png")
    options = (
        f"--data Images --data.path {tmp_path}/all --data.size 6 --data.colour rgb --likelihood ContinuousBernoulli"
    )
    options += f" --latent 2 --hidden 4 --epochs 1 --out {tmp_path}/run"
    assert train.main(options.split()) == 0
    assert use(tmp_path / "run", "encode", tmp_path / "all") == 0
    found, run = np.load(tmp_path / "run/codes.npz"), Run(tmp_path / "run", device="cpu")
    assert found["names"].tolist() == [f"{number:02d}.png" for number in range(12)]
    data = run.lab.dataset
    order = np.random.default_rng(0).permutation(12)  # the source's own: one of twelve is held out
    np.testing.assert_allclose(found["codes"][order[:1]], run.encode(data.test.numpy()), rtol=1e-5)
    assert use(tmp_path / "run", "encode", tmp_path / "all/03.png", "--out", tmp_path / "one.npy") == 0
    np.testing.assert_allclose(np.load(tmp_path / "one.npy")[0], found["codes"][3], rtol=1e-4)


def test_tables_are_read_with_the_run_s_columns_and_scale(tmp_path):
    pandas = pytest.importorskip("pandas")
    rows = np.random.default_rng(0).normal(5, 2, (30, 3))
    frame = pandas.DataFrame(rows, columns=["a", "b", "c"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    options = f"--data Table --data.path {tmp_path}/t.csv --data.standardize true --data.columns [a,c]"
    options += f" --likelihood Normal --latent 2 --hidden 4 --epochs 1 --out {tmp_path}/run"
    assert train.main(options.split()) == 0
    frame[["c", "b", "a"]].head(1).to_csv(tmp_path / "new.csv", index=False)  # another order, a single row
    run = Run(tmp_path / "run", device="cpu")
    kept = np.sort(np.random.default_rng(0).permutation(30)[3:])
    chosen = rows[:, [0, 2]].astype(np.float32)
    expected = (chosen[:1] - chosen[kept].mean(0)) / chosen[kept].std(0)
    np.testing.assert_allclose(run.read(tmp_path / "new.csv").x, expected, rtol=1e-5)
    frame[["b", "a"]].to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(SystemExit) as stopped:
        use(tmp_path / "run", "encode", tmp_path / "less.csv")
    assert stopped.value.code == 3
