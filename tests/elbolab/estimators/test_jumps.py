"""Where a density jumps in a latent no gradient sees it: who follows gradients refuses, and says which line it is."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer.autoguide import AutoNormal
from torch import nn

from elbolab import RELAX, RLOO, DReG, Pathwise, PerSite
from elbolab.estimators.learnt import Sized
from elbolab.programs.reading import read

X = torch.tensor([1.3, -0.4, 0.8])


def program(feature):
    def model(x):
        weight = pyro.param("w", torch.tensor(2.0))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(weight * feature(z), 0.7), obs=x)

    def guide(x):
        loc = pyro.param("m", torch.tensor(0.3))
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(loc, 1.0))

    return model, guide


JUMPS = {
    "compared": lambda z: (z > 0.5).to(z),
    "a condition": lambda z: torch.where(z > 0.5, 1.0, z),
    "rounded": torch.round,
    "whole numbers": lambda z: z.long().to(z),
    "whole divisions": lambda z: z // 2,
    "an index": lambda z: torch.tensor([0.0, 1.0])[(z > 0).long()],
    "written into": lambda z: torch.zeros_like(z).masked_fill_(z > 0, 1.0),
    "set": lambda z: _set(z),
    "the place of the largest": lambda z: torch.stack([z, -z], -1).max(-1).indices.to(z),
    "a layer": lambda z: nn.Threshold(0.5, 0.0)(z).sign(),
    "read back": lambda z: z if z.sum().item() > 0 else 2 * z,
    "decided": lambda z: z if (z > 0).any() else 2 * z,
}
SMOOTH = {
    "a product": lambda z: z * z,
    "a clamp": lambda z: z.clamp(min=0.0),
    "relu": torch.relu,
    "the largest": lambda z: torch.maximum(z, torch.zeros(())),
    "a look at what is no number": lambda z: z if z.isfinite().all() else 2 * z,
    "a record": lambda z: z + 0 * pyro.deterministic("on", (z > 0).to(z)).shape[0],
    "Pyro's own": lambda z: dist.Uniform(-1e3, 1e3).log_prob(z) + z,
}


def _set(z):
    value = torch.zeros_like(z)
    value[z > 0] = 1.0
    return value


@pytest.mark.parametrize("feature", JUMPS.values(), ids=JUMPS)
def test_a_jump_is_refused_by_the_line(feature):
    for estimator in (Pathwise(), DReG(2)):
        with pytest.raises(ValueError, match=r"the guide's z goes through \w+ in test_jumps.py:\d+"):
            estimator.loss(*program(feature), X)


@pytest.mark.parametrize("feature", SMOOTH.values(), ids=SMOOTH)
def test_what_has_no_jump_is_served(feature):
    Pathwise().loss(*program(feature), X)


def test_a_point_mass_that_is_compared_is_what_it_was_computed_from(one_store):
    model, _ = program(JUMPS["compared"])
    guide = AutoNormal(model)
    with pytest.raises(ValueError, match="the guide's z_unconstrained goes through gt in test_jumps.py"):
        Pathwise().loss(model, guide, X)


def test_score_functions_are_right_where_a_density_jumps():
    """E[log p(x|z)] = P(z > 1/2) log N(x; w, .7) + (1 - P) log N(x; 0, .7): its gradient is P' times the difference."""
    model, guide = program(JUMPS["compared"])
    estimator = RLOO(20_000)
    assert PerSite(2).check(model, guide, X).guide["z"].jumps
    estimator.loss_and_grads(model, guide, X)
    density = math.exp(-0.5 * 0.2**2) / math.sqrt(2 * math.pi)
    gain = ((X**2 - (X - 2.0) ** 2) / (2 * 0.49)).sum()
    exact = -(density * gain - len(X) * 0.3)  # of the negative ELBO: KL is 1/2 m^2 for each of them
    assert abs(pyro.get_param_store()._params["m"].grad - exact) < 0.35


def test_a_path_is_not_taken_where_a_density_jumps():
    model, guide = program(JUMPS["compared"])
    with pytest.raises(ValueError, match="PerSite: Pathwise serves latents that neither program compares"):
        PerSite(2, sites={"z": "Pathwise"}).loss(model, guide, X)


def test_bits_that_are_indexed_by_are_not_relaxed():
    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Bernoulli(0.5))
            pyro.sample("x", dist.Normal(torch.tensor([0.0, 2.0])[z.long()], 0.7), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Bernoulli(logits=pyro.param("l", torch.tensor(0.3))))

    assert "long in test_jumps.py" in read(model, guide, (X,)).guide["z"].jumps
    with pytest.raises(ValueError, match="RELAX serves latents that neither program compares"):
        RELAX().loss(model, guide, X)


def test_a_layer_that_sees_nothing_is_its_bias():
    torch.use_deterministic_algorithms(True)  # fills fresh memory with NaN
    try:
        layer = Sized(3)
        assert layer(torch.zeros(2, 0)).isfinite().all()
        wrong = nn.LazyLinear(3)
        assert wrong(torch.zeros(2, 0)).isnan().all()
    finally:
        torch.use_deterministic_algorithms(False)
