import math

import pyro
import pytest
import torch
from pyro import poutine

from model import Model
from model.likelihoods import Bernoulli
from model.priors import Bernoulli as Bits
from model.priors import StandardNormal


@pytest.fixture
def model(network):
    return Model(StandardNormal(3), Bernoulli(3, (2, 4), network)).double()


@pytest.fixture
def x():
    return torch.bernoulli(torch.full((5, 2, 4), 0.4, dtype=torch.float64))


def traced(model, x):
    trace = poutine.trace(model).get_trace(x)
    trace.compute_log_prob()
    return trace


def test_the_joint_density_is_the_formula(model, x):
    trace = traced(model, x)
    z = trace.nodes["z"]["value"]
    log_p_z = -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)
    y = torch.sigmoid(model.likelihood.decoder(z)[:, 0])
    log_p_x = (x * y.log() + (1 - x) * (1 - y).log()).sum((1, 2))
    torch.testing.assert_close(trace.nodes["z"]["log_prob"], log_p_z, rtol=1e-12, atol=0)
    torch.testing.assert_close(trace.nodes["x"]["log_prob"], log_p_x, rtol=1e-12, atol=0)


def test_one_latent_and_one_datum_are_one_event(model, x):
    nodes = traced(model, x).nodes
    assert nodes["z"]["fn"].event_shape == (3,)
    assert nodes["x"]["fn"].event_shape == (2, 4)
    assert nodes["z"]["fn"].batch_shape == nodes["x"]["fn"].batch_shape == (5,)


def test_latent_equal_to_batch_is_no_trap(network):
    model = Model(StandardNormal(5), Bernoulli(5, (2, 4), network))
    assert traced(model, torch.zeros(5, 2, 4)).nodes["z"]["value"].shape == (5, 5)


def test_beta_weighs_the_latent_alone(model, x):
    pyro.set_rng_seed(1)
    plain = traced(model, x)
    model.beta.fill_(4.0)
    pyro.set_rng_seed(1)
    weighted = traced(model, x)
    torch.testing.assert_close(weighted.nodes["z"]["log_prob"], 4 * plain.nodes["z"]["log_prob"])
    assert torch.equal(weighted.nodes["x"]["log_prob"], plain.nodes["x"]["log_prob"])


def test_a_prior_of_bits_that_is_not_learned_stays_uniform():
    prior = Bits(3, learned=False)
    assert not [p for p in prior.parameters() if p.requires_grad]
    assert prior().mean.tolist() == [0.5] * 3
    assert [p for p in Bits(3).parameters() if p.requires_grad]
