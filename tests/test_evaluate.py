import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from pyro.infer import Trace_ELBO

import evaluate
import train
from data import Digits
from elbolab import Evidence, evidence
from guide.posteriors import Flow
from tests.test_matrix import DATA, FITS, LEGAL, LIKELIHOODS
from training import Experiment, RunFolder, posterior_checks
from training.run import MEAN_DRAWS


@pytest.fixture
def trained(small, tmp_path):
    assert train.main([*small, "--epochs", "2", "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


@pytest.mark.usefixtures("undrawn")
def test_it_judges_a_run(trained, capsys):
    assert evaluate.main([str(trained), "--samples", "200"]) == 0
    out = capsys.readouterr().out
    found = json.loads((trained / "summary.json").read_text())["test"]
    assert found["loss"] == pytest.approx(found["rate"] + found["distortion"])
    assert found["nll"] < found["loss"], "more samples bound more tightly"
    assert 0 < found["nll_monte_carlo_error"] < found["nll_test_set_error"]
    assert found["active_units"] <= found["latent"] == 2
    assert 1 <= found["effective_draws"] <= 200
    assert f"for {found['khat_beyond']} of {found['data']} data" in out
    for number in (found["loss"], found["nll"], found["rate"], found["distortion"]):
        assert f"{number:.2f}" in out


def test_a_unit_is_active_where_its_posterior_mean_varies_over_data_by_more_than_a_hundredth():
    """Burda et al., 2016: the covariance over x of E[z|x]; where the mean stands does not matter."""
    away = torch.tensor([-1.0, 1.0, 0.0, -1.0, 1.0]).double()  # its variance is 1
    variances = torch.tensor([1.0, 0.0101, 0.0099, 0.0]).double()
    assert evaluate.active(away[:, None] * variances.sqrt() + torch.tensor([0.0, -7.0, 7.0, 1.0])) == 2


@pytest.mark.usefixtures("undrawn")
def test_the_guide_is_looked_at_on_simulated_data_and_by_chains(trained, capsys, monkeypatch):
    monkeypatch.setattr(posterior_checks, "TEMPERATURES", 4)
    options = ["--samples", "2", "--calibration", "--ais", "3"]
    assert evaluate.main([str(trained), *options]) == 0
    out = capsys.readouterr().out
    summary = json.loads((trained / "summary.json").read_text())
    calibration, chains = summary["calibration"], summary["ais"]
    assert calibration["coordinates"] == 2
    assert calibration["rate"] == pytest.approx(calibration["information"] + calibration["aggregate"])
    assert f"on {calibration['simulations']} simulated data" in out
    assert chains["data"] == 3
    assert f"importance sampling says {chains['nll_by_sampling']:.2f} of the same data" in out
    assert f"test -log p(x) {chains['nll']:.2f} nats per datum, at most, of the first 3" in out


@pytest.mark.parametrize(
    ("nats", "error"), [([1.0, 3.0, 2.0, 6.0], 4.6667**0.5 / 2), ([1.0, 3.0], 1.0), ([1.0], np.inf)]
)
def test_the_error_of_annealed_evidence_is_that_of_a_mean(nats, error, monkeypatch):
    found = -torch.tensor(nats)
    monkeypatch.setattr(posterior_checks, "annealed", lambda *_, **__: found)
    monkeypatch.setattr(posterior_checks, "sandwiched", lambda *_, **__: SimpleNamespace(gap=0.1, error=0.01))
    lab = SimpleNamespace(dataset=SimpleNamespace(test=torch.zeros(9, 1)), model=None, guide=None)
    summary, _ = posterior_checks.annealing(lab, found + 1)
    assert (summary["nll"], summary["nll_by_sampling"], summary["data"]) == (
        np.mean(nats),
        np.mean(nats) - 1,
        len(nats),
    )
    assert summary["nll_test_set_error"] == pytest.approx(error, rel=1e-4)


def refused(tmp_path, capsys, *options):
    """What evaluate.py says instead of numbers."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        evaluate.main([str(tmp_path / "run"), "--samples", "2", *options])
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert "nats" not in said.out, "before the first number"
    return said.err


def test_a_guide_that_scores_its_own_draws_alone_is_refused_what_asks_for_more(small, tmp_path, capsys):
    options = [*small, "--guide", "NeuralFlow", "--elbo", "Trace_ELBO", "--epochs", "1"]
    assert train.main([*options, "--out", str(tmp_path / "run")]) == 0
    assert "which it cannot give" in refused(tmp_path, capsys, "--calibration")
    assert "annealing asks for log q(z|x)" in refused(tmp_path, capsys, "--ais", "3")


@pytest.mark.usefixtures("undrawn")
def test_chains_are_refused_where_latents_are_bits(small, tmp_path, capsys):
    options = [*small, "--prior", "Bernoulli", "--guide", "Bernoulli", "--elbo", "RLOO", "--elbo.num_particles", "2"]
    assert train.main([*options, "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    assert "latent z lies in" in refused(tmp_path, capsys, "--ais", "3")
    assert evaluate.main([str(tmp_path / "run"), "--samples", "2", "--calibration"]) == 0


def test_weights_that_are_too_heavy_are_warned_of():
    summary = {"samples": 500, "data": 100, "effective_draws": 3.2, "khat_limit": 0.63, "khat_beyond": 6}
    assert "warning: Pareto k above 0.63 for 6 of 100 data: -log p(x) is not to be trusted" in evaluate.weights(summary)
    assert "warning" not in evaluate.weights(summary | {"khat_beyond": 5})
    none = {"samples": 50, "data": 100, "effective_draws": 3.2}
    assert "was not looked at: at least 100 samples" in evaluate.weights(none)


def test_a_guide_that_is_too_narrow_is_called_in_question(trained):
    lab = Experiment.load(RunFolder(trained))
    x = lab.dataset.test
    good = evaluate.numbers(evidence(lab.model, lab.guide, x, samples=500, khat=True))
    with torch.no_grad():
        lab.guide.posterior.encoder[-1][-1].bias[2:] -= 3  # log-variances: a standard deviation of a fifth
    bad = evaluate.numbers(evidence(lab.model, lab.guide, x, samples=500, khat=True))
    assert good["khat_beyond"] < 0.5 * len(x) < 0.8 * len(x) < bad["khat_beyond"]
    assert bad["effective_draws"] < good["effective_draws"]


@pytest.mark.usefixtures("undrawn")
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


@pytest.mark.parametrize("number", range(14))
def test_every_part_is_judged(number, tmp_path):
    likelihood = LIKELIHOODS[number]
    prior, guide = LEGAL[(number * 17) % len(LEGAL)]
    np.save(tmp_path / "x.npy", DATA[FITS[likelihood.__name__]])
    options = f"--prior {prior.__name__} --guide {guide.__name__} --likelihood {likelihood.__name__} --elbo Trace_ELBO"
    options += f" --data Arrays --data.path {tmp_path}/x.npy --latent 4 --hidden 8 --epochs 1 --out {tmp_path}/run"
    assert train.main(options.split()) == 0
    assert evaluate.main([f"{tmp_path}/run", "--samples", "50", "--shown", "2"]) == 0
    found = json.loads((tmp_path / "run/summary.json").read_text())["test"]
    assert np.isfinite(list(found.values())).all()
    assert ("perplexity" in found) == (FITS[likelihood.__name__] == "counts")


def test_perplexity_is_that_of_the_words_one_by_one():
    """For words drawn independently with probabilities p, it is exp of their cross-entropy, whatever N."""
    p = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64)
    counts = torch.distributions.Multinomial(30, p).sample((200,))
    bag = torch.distributions.Multinomial(30, p).log_prob(counts)
    none = torch.zeros(200, dtype=torch.float64)
    expected = (-(counts * p.log()).sum() / counts.sum()).exp().item()
    assert evaluate.perplexity(Evidence(bag, none, none, none), counts) == pytest.approx(expected, rel=1e-9)


def test_posterior_means_are_estimated_where_they_are_not_known(tmp_path):
    lab = Experiment(data=Digits(), latent=4, hidden=8, device="cpu", guide=Flow, elbo=Trace_ELBO())
    x = lab.dataset.test[:50]
    found = evaluate.posterior_means(lab, x)
    draws = lab.guide.posterior(x).expand((20_000, 50)).sample()
    assert ((found - draws.mean(0)) / (draws.std(0) / MEAN_DRAWS**0.5)).abs().max() < 5


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
