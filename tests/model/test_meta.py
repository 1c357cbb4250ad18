"""On a device without numbers, whatever a part has left on the CPU does not fit what came with it."""

import pyro
import pytest
import torch

from model import MLP
from training.catalogue import CHOICES

SHAPE, LATENT, DATA = (4,), 2, 3


@pytest.fixture(autouse=True)
def unchecked():
    with pyro.validation_enabled(False):  # there are no values to check
        yield


def on_meta(part, *inputs):
    """The parts' draws, log-densities and gradients have to be where their parameters are."""
    for module in (part, *getattr(part, "_posterior", ())):  # a VampPrior's guide is not its own module
        module.to("meta")
    try:
        q = part(*inputs)
        value = torch.empty(q.batch_shape + q.event_shape, device="meta") if inputs else q.sample()
        log_density = q.log_prob(value)
    except (NotImplementedError, RuntimeError) as error:
        if "device" in str(error) and "item()" not in str(error) and "nonzero" not in str(error):
            raise
        pytest.skip("PyTorch cannot do without numbers here")
    assert value.device.type == log_density.device.type == "meta"
    if log_density.requires_grad:
        log_density.sum().backward()
        assert all(p.grad is None or p.grad.device.type == "meta" for p in part.parameters())


@pytest.mark.parametrize("cls", CHOICES["prior"])
def test_priors_leave_nothing_on_the_cpu(cls):
    prior = cls(LATENT)
    prior.prepare(CHOICES["guide"][0](SHAPE, LATENT, MLP(4)), torch.zeros(DATA, *SHAPE))
    on_meta(prior)


@pytest.mark.parametrize("cls", CHOICES["guide"])
def test_guides_leave_nothing_on_the_cpu(cls):
    on_meta(cls(SHAPE, LATENT, MLP(4)), torch.zeros(DATA, *SHAPE, device="meta"))


@pytest.mark.parametrize("cls", CHOICES["likelihood"])
def test_likelihoods_leave_nothing_on_the_cpu(cls):
    likelihood = cls(LATENT, SHAPE, MLP(4))
    likelihood.prepare(torch.rand(DATA, *SHAPE))
    on_meta(likelihood, torch.zeros(DATA, LATENT, device="meta", requires_grad=True))


def test_a_tensor_left_behind_is_found():
    class Left(CHOICES["likelihood"][0]):
        def forward(self, z):
            return super().forward(z + torch.ones(LATENT))

    with pytest.raises(RuntimeError, match="device"):
        on_meta(Left(LATENT, SHAPE, MLP(4)), torch.zeros(DATA, LATENT, device="meta"))
