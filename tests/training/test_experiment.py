import numpy as np
import pytest
import torch
from pyro.infer import JitTrace_ELBO, Trace_ELBO, TraceMeanField_ELBO

from data import Arrays, Digits
from model import Bernoulli
from training import Experiment
from training.experiment import CHOICES


def experiment(**options):
    return Experiment(**{"latent": 2, "hidden": 8, "device": "cpu", "data": Digits()} | options)


def test_bernoulli_refuses_grey_levels_and_says_what_to_do():
    with pytest.raises(ValueError, match=r"Bernoulli is for data in .*binarise them \(--data.binarize dynamic\)"):
        experiment(data=Digits(binarize="no"))


def test_one_grey_pixel_in_the_test_set_is_enough(tmp_path):
    test = np.zeros((20, 4))
    test[-1, -1] = 0.5
    np.savez(tmp_path / "x.npz", train=np.zeros((20, 4)), test=test)
    with pytest.raises(ValueError, match=r"the data hold 0\.5"):
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
