import re

import numpy as np
import pyro
import pytest
import torch
from pyro.infer import JitTrace_ELBO, Trace_ELBO, TraceMeanField_ELBO

import evaluate
import train
from data import Arrays, Digits
from elbolab.programs.kl import analytic_kl
from model.likelihoods import Bernoulli
from training import Experiment
from training.catalogue import CHOICES, INERT, table

IMAGES = ["Bernoulli", "Beta", "Binomial", "ContinuousBernoulli", "HeteroscedasticNormal", "Laplace", "Normal"]
IMAGE_LIKELIHOODS = [c for c in CHOICES["likelihood"] if c.__name__ in IMAGES]


# An option and what is said of it from column 30 on, more of that, or a long option alone.
COLUMNS = re.compile(r"  \S.{26} \S.*| {30}\S.*|  \S+( \S+)?")


def experiment(**options):
    return Experiment(**{"latent": 2, "hidden": 8, "device": "cpu", "data": Digits()} | options)


def test_bernoulli_refuses_grey_levels_and_says_what_to_do():
    with pytest.raises(
        ValueError, match=r"Bernoulli is for data in \{0, 1\}.*binarise them \(--data.binarize dynamic\)"
    ):
        experiment(data=Digits(binarize="no"))


def test_one_grey_pixel_in_the_test_set_is_enough(tmp_path):
    test = np.zeros((20, 4))
    test[-1, -1] = 0.5
    np.savez(tmp_path / "x.npz", train=np.zeros((20, 4)), test=test)
    with pytest.raises(ValueError, match=r"these hold 0\.5"):
        experiment(data=Arrays(tmp_path / "x.npz"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"beta": 0.0}, "beta = 0"),
        ({"latent": 0}, "latent = 0"),
        ({"hidden": []}, "hidden"),
        ({"elbo": JitTrace_ELBO()}, "there are: Trace_ELBO, TraceMeanField_ELBO"),
        ({"device": "tpu"}, "auto, cpu, cuda"),
        ({"device": "cuda:99"}, "CUDA device"),
    ],
)
def test_wrong_options_are_refused(option, message):
    if option.get("hidden") == []:
        experiment(**option)  # no hidden layer: a linear decoder is a model, not a mistake
        return
    with pytest.raises(ValueError, match=message):
        experiment(**option)


def test_the_seed_fixes_the_weights():
    one, two, other = experiment(seed=3), experiment(seed=3), experiment(seed=4)
    state = one.objective.state_dict()
    assert all(torch.equal(value, two.objective.state_dict()[name]) for name, value in state.items())
    assert not all(torch.equal(value, other.objective.state_dict()[name]) for name, value in state.items())


def test_beta_reaches_both_sides():
    lab = experiment(beta=2.0)
    assert lab.model.beta == lab.guide.beta == 2
    lab.set_beta(0.5)
    assert lab.model.beta == lab.guide.beta == 0.5


def test_the_route_of_the_kl_is_known():
    assert experiment(elbo=TraceMeanField_ELBO()).kl == {"z": "analytic"}
    assert experiment(elbo=Trace_ELBO()).kl == {"z": "sampled"}


def test_every_option_that_takes_a_class_offers_some():
    assert all(CHOICES.values())
    assert Bernoulli in CHOICES["likelihood"]


REPARAMETERISED = [c for c in CHOICES["guide"] if c.__name__ not in ("Bernoulli", "OneHot")]
PAIRS = [
    (prior, guide)
    for guide in REPARAMETERISED
    for prior in CHOICES["prior"]
    if prior.support is guide.support and (guide.scores_any or prior.__name__ != "VampPrior")
]


def replicates(lab, elbo, beta, x, count=60):
    """Losses of an objective, each the mean of 64 particles, in nats per datum."""
    lab.set_beta(beta)
    objective = elbo(num_particles=64, vectorize_particles=True, max_plate_nesting=1)
    with torch.no_grad():
        draws = [objective.differentiable_loss(lab.model, lab.guide, x).item() / len(x) for _ in range(count)]
    return np.mean(draws), np.std(draws, ddof=1) / count**0.5


@pytest.mark.parametrize(("prior", "guide"), PAIRS, ids=lambda cls: cls.__name__)
def test_both_elbos_agree_in_expectation_for_every_pair(prior, guide):
    lab = experiment(
        prior=prior,
        guide=guide,
        latent=4,
        elbo=TraceMeanField_ELBO(),
    )
    x = lab.dataset.batch(torch.arange(4))
    pyro.enable_validation(False)
    means, errors = zip(*(replicates(lab, elbo, 1.0, x) for elbo in (Trace_ELBO, TraceMeanField_ELBO)), strict=True)
    error = np.hypot(*errors)
    assert abs(means[0] - means[1]) < 4 * error + 1e-4
    if lab.kl == {"z": "analytic"}:  # otherwise both sample the same thing
        assert error < 0.2, "a difference of a nat would be seen"


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_both_elbos_agree_on_the_beta_elbo(beta):
    """-E log p(x|z) + beta KL: the expected value from the parts, and from both objectives."""
    lab = experiment(latent=4, elbo=TraceMeanField_ELBO())
    x = lab.dataset.batch(torch.arange(4))
    with torch.no_grad():  # a KL that is not small
        lab.guide.posterior.encoder[-1][-1].bias.add_(1.0)
    pyro.enable_validation(False)
    q, p = lab.guide.posterior(x), lab.model.prior()
    divergence = analytic_kl(q, p.expand(q.batch_shape)).mean().item()
    with torch.no_grad():
        distortion = -lab.model.decode(q.sample((4000,))).log_prob(x).mean().item()
    assert divergence > 2
    for elbo in (Trace_ELBO, TraceMeanField_ELBO):
        mean, error = replicates(lab, elbo, beta, x)
        assert abs(mean - distortion - beta * divergence) < 4 * error + 0.15, "without beta it is off by a nat or more"


@pytest.mark.parametrize(
    "option",
    [{"prior": prior, "guide": guide} for prior, guide in PAIRS[::5]]
    + [{"likelihood": c, "data": Digits(dequantize=c.__name__ == "Beta")} for c in IMAGE_LIKELIHOODS],
    ids=lambda option: "-".join(getattr(v, "__name__", type(v).__name__) for v in option.values()),
)
def test_one_step_lowers_the_loss(option):
    lab = experiment(latent=4, **option)
    x = lab.dataset.batch(torch.arange(32))

    def loss():
        torch.manual_seed(0)
        return lab.objective(x) / len(x)

    before = loss()
    before.backward()
    steps = torch.optim.SGD(lab.objective.parameters(), lr=1e-5)
    steps.step()
    assert loss() < before


def test_the_catalogue_tells_of_every_class():
    text = table()
    assert all(cls.__name__ in text for classes in CHOICES.values() for cls in classes)


@pytest.mark.parametrize(
    ("main", "arguments", "there"),
    [
        (train.main, ["--help"], ["--prior NAME", "--epochs N", "One of MNIST, "]),
        (train.main, ["--elbo.help", "IWAE"], ["--elbo.sampling independent|antithetic|sobol"]),
        (evaluate.main, ["--help"], ["  RUN  ", "--checkpoint last|previous|best", "  score  "]),
    ],
    ids=["train", "class", "evaluate"],
)
def test_help_is_a_page_in_two_columns_without_what_does_nothing(main, arguments, there, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    page = capsys.readouterr().out
    assert stopped.value.code == 0
    assert not [words for words in there if words not in page]
    assert not [name for name in INERT if name in page]
    rows = [line for line in page.splitlines() if line.startswith("  ")]
    assert [line for line in rows if not COLUMNS.fullmatch(line)] == []
