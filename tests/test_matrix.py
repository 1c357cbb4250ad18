"""Every prior, likelihood and guide with every other, from the command line: the legal train, others say why.

Every legal pair of prior and guide trains here, with one of the likelihoods in turn; `make matrix` trains all triples
and refuses all illegal pairs.
"""

import itertools

import numpy as np
import pytest
import torch

import train
from training import RunFolder
from training.catalogue import CHOICES

RNG = np.random.default_rng(0)
DATA = {
    "bits": RNG.integers(0, 2, (40, 4)),
    "open": RNG.uniform(0.05, 0.95, (40, 4)),
    "grid16": RNG.integers(0, 17, (40, 4)) / 16,
    "grid255": RNG.integers(0, 256, (40, 4)) / 255,
    "counts": RNG.poisson(3.0, (40, 4)),
}
FITS = {
    "Bernoulli": "bits",
    "Beta": "open",
    "Binomial": "grid16",
    "Categorical": "grid255",
    "ContinuousBernoulli": "open",
    "DiscretizedLogistic": "grid255",
    "DiscretizedLogisticMixture": "grid255",
    "HeteroscedasticNormal": "open",
    "Laplace": "open",
    "Multinomial": "counts",
    "NegativeBinomial": "counts",
    "Normal": "open",
    "Poisson": "counts",
    "ZeroInflatedNegativeBinomial": "counts",
}
PRIORS, LIKELIHOODS, GUIDES = CHOICES["prior"], CHOICES["likelihood"], CHOICES["guide"]


def legal(prior, guide):
    return guide.scores_any if prior.__name__ == "VampPrior" else prior.support is guide.support


LEGAL = [pair for pair in itertools.product(PRIORS, GUIDES) if legal(*pair)]
ILLEGAL = [pair for pair in itertools.product(PRIORS, GUIDES) if not legal(*pair)]


def name(part):
    return getattr(part, "__name__", part)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for kind, values in DATA.items():
        np.save(folder / f"{kind}.npy", values)
    return folder


def run(files, tmp_path, prior, likelihood, guide, *more):
    reparameterised = guide.__name__ not in ("Bernoulli", "OneHot")
    elbo = "TraceMeanField_ELBO" if reparameterised else "Trace_ELBO"
    options = f"--prior {name(prior)} --likelihood {name(likelihood)} --guide {name(guide)} --elbo {elbo}"
    options += f" --data Arrays --data.path {files}/{FITS[name(likelihood)]}.npy --latent 4 --hidden 8 --epochs 2"
    return train.main([*options.split(), "--out", str(tmp_path / "run"), *more])


def check_trains(files, tmp_path, prior, likelihood, guide):
    assert run(files, tmp_path, prior, likelihood, guide) == 0
    for row in RunFolder(tmp_path / "run").metrics():
        assert np.isfinite([row["loss"], row["test_rate"], row["test_distortion"]]).all()


def test_every_likelihood_has_data():
    assert set(FITS) == {likelihood.__name__ for likelihood in LIKELIHOODS}


@pytest.mark.parametrize(
    ("prior", "guide", "likelihood"),
    [(*pair, LIKELIHOODS[i % len(LIKELIHOODS)]) for i, pair in enumerate(LEGAL)],
    ids=name,
)
def test_every_legal_pair_trains(files, tmp_path, prior, guide, likelihood):
    check_trains(files, tmp_path, prior, likelihood, guide)


def check_refused(files, tmp_path, capsys, prior, guide):
    with pytest.raises(SystemExit) as stopped:
        run(files, tmp_path, prior, LIKELIHOODS[0], guide)
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert "Traceback" not in said
    if prior.__name__ == "VampPrior":
        assert "choose another guide" in said
    else:
        allowed = [p.__name__ for p, g in LEGAL if g is guide and p.__name__ != "VampPrior"]
        assert f"Priors for this guide: {', '.join(allowed)}" in said


@pytest.mark.parametrize(("prior", "guide"), ILLEGAL[::7], ids=name)
def test_illegal_pairs_say_what_would_work(files, tmp_path, capsys, prior, guide):
    check_refused(files, tmp_path, capsys, prior, guide)


@pytest.mark.matrix
@pytest.mark.parametrize(("prior", "guide"), ILLEGAL, ids=name)
def test_all_illegal_pairs(files, tmp_path, capsys, prior, guide):
    check_refused(files, tmp_path, capsys, prior, guide)


@pytest.mark.matrix
@pytest.mark.parametrize(("prior", "guide"), LEGAL, ids=name)
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=name)
def test_all_legal_triples(files, tmp_path, prior, guide, likelihood):
    check_trains(files, tmp_path, prior, likelihood, guide)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=name)
@pytest.mark.parametrize("kind", DATA)
def test_data_outside_the_support_are_refused_and_others_named(files, tmp_path, capsys, likelihood, kind):
    fitting = [c for c in LIKELIHOODS if c.support.check(torch.tensor(DATA[kind], dtype=torch.float32)).all()]
    if likelihood in fitting:
        pytest.skip("these data fit")
    with pytest.raises(SystemExit) as stopped:
        run(files, tmp_path, PRIORS[0], likelihood, GUIDES[1], "--data.path", f"{files}/{kind}.npy")
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert f"--likelihood {', '.join(c.__name__ for c in fitting)}" in said


@pytest.mark.parametrize("guide", ["Bernoulli", "OneHot"])
def test_a_discrete_guide_with_the_mean_field_objective_is_refused(files, tmp_path, capsys, guide):
    options = f"--prior {guide} --guide {guide} --elbo TraceMeanField_ELBO --data Arrays --data.path {files}/bits.npy"
    with pytest.raises(SystemExit) as stopped:
        train.main([*options.split(), "--out", str(tmp_path / "run")])
    assert stopped.value.code == 2
    assert "--elbo Trace_ELBO" in capsys.readouterr().err
