"""A trained run in use: what comes out is what the programs say."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pyro.distributions import constraints

import train
from training import Run


@pytest.fixture
def run(folder):
    return Run(folder, device="cpu")


def test_codes_and_reconstructions_are_those_of_the_programs(run):
    x = run.lab.dataset.test[:5].numpy()
    with torch.no_grad():
        location, _ = run.guide.posterior.location_and_log_variance(torch.as_tensor(x))
        decoded = run.model.likelihood(location).mean
    np.testing.assert_allclose(run.encode(x), location, rtol=1e-6)
    np.testing.assert_allclose(run.reconstruct(x), decoded, rtol=1e-6)


def test_samples_are_data_and_the_same_for_a_seed(run):
    x = run.sample(7)
    assert x.shape == (7, 8, 8)
    assert set(np.unique(x)) <= {0.0, 1.0}
    assert np.array_equal(x, run.sample(7))
    assert not np.array_equal(x, run.sample(7, seed=1))
    means = run.sample(2000, mean=True)
    assert abs(means.mean() - run.sample(2000).mean()) < 0.01


def test_log_p_of_data_and_of_noise(run):
    x = run.lab.dataset.test[:20].numpy()
    noise = (np.random.default_rng(0).random(x.shape) < 0.5).astype(np.float32)
    data, other = run.log_evidence(x, samples=50), run.log_evidence(noise, samples=50)
    assert data.log_evidence.shape == (20,)
    assert data.log_evidence.min() > other.log_evidence.max()
    assert torch.equal(data.log_evidence, run.log_evidence(x, samples=50).log_evidence)


def test_grey_levels_are_binarised_as_the_test_set_was(run):
    grey = np.full((50, 8, 8), 0.3, np.float32)
    seen = run._seen(grey)
    assert set(seen.unique().tolist()) == {0.0, 1.0}
    assert seen.mean() == pytest.approx(0.3, abs=0.05)
    assert torch.equal(seen, run._seen(grey))


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros((3, 8)), "shape"),
        (np.zeros((0, 8, 8)), "shape"),
        (np.full((1, 8, 8), np.nan), "finite"),
        (np.array([["a"]]), "numbers"),
        (np.full((1, 8, 8), 2.0), "from 2 to 2, and the run's from 0 to 1"),
    ],
)
def test_what_is_refused(x, said, run):
    assert run.model.likelihood.support is constraints.boolean
    with pytest.raises(ValueError, match=said):
        run.encode(x)


def test_what_the_likelihood_has_no_mass_for_is_refused(small, tmp_path):
    assert train.main([*small, "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    x = np.array([[[0.0, 1.0, 1.0], [0.5, 0.0, 0.25]]])
    with pytest.raises(ValueError, match=r"Bernoulli has no mass at 0\.5"):
        Run(tmp_path / "run", device="cpu").encode(x)


def test_between_0_and_1_nothing_is_an_outlier_and_among_counts_some_are():
    def like(*train):
        return SimpleNamespace(lab=SimpleNamespace(dataset=SimpleNamespace(train=torch.tensor(train))))

    Run._refuse_another_scale(like(0.0, 9.0), torch.tensor([5.0, 2.0, 30.0]))
    Run._refuse_another_scale(like(0.0, 0.4), torch.tensor([0.9, 1.0, 0.8]))
    with pytest.raises(ValueError, match="from 0 to 1.1, and the run's from 0 to 1"):
        Run._refuse_another_scale(like(0.0, 0.4), torch.tensor([0.0, 0.1, 1.1]))


def test_other_units_are_refused_and_outliers_are_not(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    options = f"--data Arrays --data.path {tmp_path}/x.npy --likelihood Normal --latent 2 --hidden 4 --epochs 1"
    assert train.main([*options.split(), "--out", str(tmp_path / "run")]) == 0
    run = Run(tmp_path / "run", device="cpu")
    far = x[:2] + np.array([0, 0, 0, 30], np.float32)
    assert run.encode(far).shape == (2, 2)
    with pytest.raises(ValueError, match="the run's from"):
        run.encode(1000 * x)


@pytest.mark.parametrize("format", ["onnx", "pt2"])
@pytest.mark.filterwarnings("ignore")
def test_the_networks_leave_for_other_programs(format, run, tmp_path):
    if format == "onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    encoder, decoder = run.export(tmp_path, format=format)
    assert (encoder.name, decoder.name) == (f"encoder.{format}", f"decoder.{format}")
    z = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)  # another batch than the one exported with
    with torch.no_grad():
        expected = run.model.decode(torch.as_tensor(z)).mean
    if format == "onnx":
        session = onnxruntime.InferenceSession(decoder, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {session.get_inputs()[0].name: z})
    else:
        found = torch.export.load(decoder).module()(torch.as_tensor(z)).detach()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_file_that_gives_something_else_is_refused(run, tmp_path, monkeypatch):
    loaded = torch.export.load

    class Other:
        def __init__(self, program):
            self.run = program.module()

        def module(self):
            return lambda x: [value + 0.01 for value in self.run(x)]

    monkeypatch.setattr(torch.export, "load", lambda path: Other(loaded(path)))
    with pytest.raises(ValueError, match="something else"):
        run.export(tmp_path, format="pt2")
