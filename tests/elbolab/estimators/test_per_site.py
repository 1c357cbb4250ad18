"""A code y and a normal z, in every order: every pair of estimators against a sum and an integral."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn

from elbolab.estimators import per_site
from elbolab.estimators.enumeration import Enumeration
from elbolab.estimators.pathwise import Pathwise
from elbolab.estimators.per_site import PerSite
from elbolab.oracles import Bits, NormalNormal
from elbolab.oracles.quadrature import normal_nodes
from elbolab.programs import influence
from tests.elbolab.example_programs import parameter
from tests.elbolab.replicates import PARTS, gradients, part, variance
from tests.elbolab.statistics import worst

BETA = 0.7


class _Model(nn.Module):
    """y ~ 3 categories, z ~ N(m_y, 1), x|y, z ~ N(a_y + tanh z, 1), and x' of y alone; y's terms are weighed."""

    def __init__(self):
        super().__init__()
        self.logits, self.means, self.shifts = (
            parameter(0.3, -0.4, 0.1),
            parameter(0.5, -0.3, 1.0),
            parameter(1, -1, 0.4),
        )

    def parts(self, y, z):
        p_z = dist.Normal((y * self.means).sum(-1), 1.0)
        shift = (y * self.shifts).sum(-1)
        return (
            dist.OneHotCategorical(logits=self.logits),
            p_z,
            dist.Normal(shift + z.tanh(), 1.0),
            dist.Normal(-shift, 0.8),
        )

    def forward(self, x):
        with pyro.plate("batch", len(x)):
            with poutine.scale(scale=BETA):
                y = pyro.sample("y", dist.OneHotCategorical(logits=self.logits))
            z = pyro.sample("z", dist.Normal((y * self.means).sum(-1), 1.0))
            *_, first, second = self.parts(y, z)
            pyro.sample("x", first, obs=x)
            pyro.sample("x2", second, obs=x / 2)


class _Guide(nn.Module):
    """q(y|x) q(z|x), with z depending on y, or y on z, as the order says."""

    def __init__(self, order):
        super().__init__()
        self.order = order
        self.slopes, self.offsets, self.links = (
            parameter(0.4, -0.6, 0.2),
            parameter(0.1, 0.3, -0.2),
            parameter(0.5, -0.7, 0.3),
        )
        self.a, self.b, self.s = parameter(0.3), parameter(0.2), parameter(-0.4)

    def q_y(self, x, z):
        logits = self.slopes * x[..., None] + self.offsets
        return dist.OneHotCategorical(logits=logits + self.links * z[..., None] if self.order == "zy" else logits)

    def q_z(self, x, y):
        mean = self.a * x + self.b
        return dist.Normal(mean + (y * self.links).sum(-1) if self.order == "yz" else mean, self.s.exp())

    def forward(self, x):
        with pyro.plate("batch", len(x)):
            if self.order == "zy":
                z = pyro.sample("z", self.q_z(x, None))
                with poutine.scale(scale=BETA):
                    pyro.sample("y", self.q_y(x, z))
            else:
                with poutine.scale(scale=BETA):
                    y = pyro.sample("y", self.q_y(x, None))
                pyro.sample("z", self.q_z(x, y))


class Both:
    """What is known of them: a sum over y of integrals over z."""

    def __init__(self, order):
        self.x = torch.tensor([0.4, -1.1], dtype=torch.float64)
        self.model, self.guide = _Model(), _Guide(order)

    def elbo(self):
        nodes, log_measure = normal_nodes(80)
        y = torch.eye(3, dtype=torch.float64)[:, None, None]
        q_z = self.guide.q_z(self.x, y)
        z = q_z.mean + q_z.stddev * nodes
        q_y = self.guide.q_y(self.x, z)
        p_y, p_z, first, second = self.model.parts(y, z)
        log_w = BETA * (p_y.log_prob(y) - q_y.log_prob(y)) + p_z.log_prob(z) - q_z.log_prob(z)
        log_w = log_w + first.log_prob(self.x) + second.log_prob(self.x / 2)
        return ((q_y.log_prob(y) + log_measure[:, None]).exp() * log_w).sum((0, 1))


Y, Z = ("Enumeration", "REINFORCE", "RLOO"), ("Pathwise", "StickingTheLanding", "REINFORCE", "RLOO")
ORDERS = ("yz", pytest.param("zy", marks=pytest.mark.slow), pytest.param("apart", marks=pytest.mark.slow))


@pytest.mark.parametrize("z", Z)
@pytest.mark.parametrize("y", Y)
@pytest.mark.parametrize("order", ORDERS)
def test_every_pair(order, y, z):
    draws, exact = gradients(PerSite(2, sites={"y": y, "z": z}), Both(order), 250, 400)
    found, bound = worst(draws, exact)
    assert found < bound
    for which in ("loss", *PARTS):
        times = 1.1 if y == z == "REINFORCE" else 1.05  # whose noise is that large
        found, bound = worst(part(draws, which), {n: times * value for n, value in part(exact, which).items()})
        assert found > bound, f"a bias of 5 % of the {which} has to be seen"


MISTAKES = {
    "too little is influenced": (
        influence,
        "moves",
        lambda reading, name, site: site.name not in ("x", "x2"),
        ("RLOO", "Pathwise"),
    ),
    "draws keep their path": (
        per_site._Sampler,
        "_pyro_post_sample",
        lambda self, msg: None,
        ("Enumeration", "REINFORCE"),
    ),
    "the landing without a guide": (per_site, "detached", lambda values: values, ("Enumeration", "StickingTheLanding")),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_seen(mistake, monkeypatch):
    owner, attribute, wrong, (y, z) = MISTAKES[mistake]
    monkeypatch.setattr(owner, attribute, wrong)
    found, bound = worst(*gradients(PerSite(2, sites={"y": y, "z": z}), Both("yz"), 250, 400))
    assert found > bound


def step(estimator, oracle):
    pyro.set_rng_seed(0)
    loss = estimator(oracle.model, oracle.guide)(oracle.x)
    parameters = (*oracle.model.parameters(), *oracle.guide.parameters())
    return [loss.detach(), *torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize(
    ("sites", "alone", "oracle"), [("Enumeration", Enumeration(), Bits), ("Pathwise", Pathwise(3), NormalNormal)]
)
def test_of_one_latent_it_is_the_estimator_itself(sites, alone, oracle):
    oracle = oracle()
    torch.testing.assert_close(
        step(PerSite(alone.num_particles, sites={"z": sites}), oracle), step(alone, oracle), rtol=1e-12, atol=1e-12
    )


def test_the_guide_can_say_it():
    def program(estimator):
        def run(x):
            with pyro.plate("batch", len(x)):
                own = logits if estimator else 0 * logits
                pyro.sample(
                    "z", dist.OneHotCategorical(logits=own), infer={"estimator": estimator} if estimator else {}
                )

        return run

    logits = torch.randn(2, 3).double().requires_grad_()
    found = []
    for elbo in (PerSite(), Enumeration()):
        loss = elbo.differentiable_loss(program(None), program("Enumeration"), torch.zeros(2))
        found.append(torch.autograd.grad(loss, logits)[0])
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


def test_enumerating_and_what_is_influenced_lower_the_variance():
    def total(**sites):
        return sum(v.sum().item() for v in variance(PerSite(2, sites=sites), Both("yz"), 1500).values())

    assert total(y="Enumeration", z="Pathwise") < 0.5 * total(y="RLOO", z="Pathwise")
    assert total(y="RLOO", z="Pathwise") < total(y="REINFORCE", z="REINFORCE")


def test_only_what_a_latent_influences_is_its_signal():
    """Two latents apart, each with data of its own."""

    def program(x):
        with pyro.plate("batch", len(x)):
            for name in "ab":
                z = pyro.sample(name, dist.Bernoulli(torch.tensor(0.4)))
                if x is not None:
                    pyro.sample(f"x{name}", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        with pyro.plate("batch", len(x)):
            for name in "ab":
                pyro.sample(name, dist.Bernoulli(torch.tensor(0.4)))

    estimator = PerSite()
    draw = estimator.draw(program, guide, (torch.zeros(2),), {})
    assert draw.plan.untouched == {"a": {"b", "xb"}, "b": {"a", "xa"}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sites": {"y": "Enumerate"}}, "PerSite of y = Enumerate: there are Enumeration, Pathwise"),
        (
            {"sites": {"z": "Enumeration"}},
            "Enumeration serves Bernoulli or one-hot latents, and the guide's z is Normal",
        ),
        ({"sites": {"y": "Pathwise"}}, "Pathwise serves latents whose draws .* guide's y is OneHotCategorical"),
        ({"sites": {"w": "Pathwise"}}, "PerSite of w: the guide's latents are y, z"),
        ({"sites": {"y": "RLOO"}}, "RLOO needs at least 2 particles"),
        ({"sites": {"y": "Enumeration"}, "limit": 2}, "3 of them, and limit = 2"),
        ({"vectorize_particles": False}, "vectorize_particles = True"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    oracle = Both("yz")
    with pytest.raises(ValueError, match=message):
        PerSite(**options)(oracle.model, oracle.guide)(oracle.x)
