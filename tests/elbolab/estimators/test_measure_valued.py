"""Measure-valued derivatives: bits, normals and counts, together too, against sums and integrals."""

from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from elbolab.estimators import measure_valued
from elbolab.estimators.measure_valued import MeasureValued
from elbolab.oracles import Bits, LinearGaussian, NormalNormal, OneBit
from elbolab.oracles.quadrature import normal_nodes
from tests.elbolab.example_programs import Chain, parameter
from tests.elbolab.replicates import PARTS, gradients, part
from tests.elbolab.statistics import exact_gradients, worst

COUNTS = 60  # beyond them there is no probability


class Mixed:
    """A count, a bit and a normal z, x|n, b, z ~ N(n / 2 - b + tanh(z) w, 1): sums and an integral."""

    def __init__(self):
        self.x = torch.tensor([0.3, 2.1], dtype=torch.float64)
        self.model, self.guide = _MixedModel(), _MixedGuide()

    def elbo(self):
        n, b = torch.arange(float(COUNTS)).double()[:, None, None, None], torch.arange(2.0).double()[:, None, None]
        nodes, log_measure = normal_nodes(80)
        q = self.guide.posteriors(self.x)
        z = q["z"].mean + q["z"].stddev * nodes
        values = {"n": n, "b": b, "z": z}
        p = self.model.priors()
        log_w = self.model.likelihood(**values).log_prob(self.x)
        log_w = log_w + sum(p[name].log_prob(values[name]) - q[name].log_prob(values[name]) for name in values)
        weight = (q["n"].log_prob(n) + q["b"].log_prob(b) + log_measure[:, None]).exp()
        return (weight * log_w).sum((0, 1, 2))


class _MixedModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate, self.logit, self.mean, self.weight = (parameter(v) for v in (0.2, -0.4, 0.3, 1.3))

    def priors(self):
        return {
            "n": dist.Poisson(self.rate.exp()),
            "b": dist.Bernoulli(logits=self.logit),
            "z": dist.Normal(self.mean, 1),
        }

    def likelihood(self, n, b, z):
        return dist.Normal(n / 2 - b + z.tanh() * self.weight, 1.0)

    def forward(self, x):
        with pyro.plate("batch", len(x)):
            drawn = {name: pyro.sample(name, p) for name, p in self.priors().items()}
            pyro.sample("x", self.likelihood(**drawn), obs=x)


class _MixedGuide(nn.Module):
    def __init__(self):
        super().__init__()
        self.slopes, self.offsets, self.log_scale = (
            parameter(0.2, -0.3, 0.4),
            parameter(0.1, 0.2, -0.1),
            parameter(-0.3),
        )

    def posteriors(self, x):
        a, b, c = (s * x + o for s, o in zip(self.slopes, self.offsets, strict=True))
        return {"n": dist.Poisson(a.exp()), "b": dist.Bernoulli(logits=b), "z": dist.Normal(c, self.log_scale.exp())}

    def forward(self, x):
        with pyro.plate("batch", len(x)):
            for name, q in self.posteriors(x).items():
                pyro.sample(name, q)


ORACLES = {
    "bits": lambda: Bits(beta=0.7, seed=6),
    "one": lambda: OneBit((0.2,)),
    "normal": NormalNormal,
    "linear": lambda: LinearGaussian(3, 2),
    "mixed": Mixed,
}


def right(estimator, oracle):
    draws, exact = gradients(estimator, oracle, 250, 400)
    found, bound = worst(draws, exact)
    assert found < bound
    # The mixture's model is known to 7 % with so many draws.
    for which in ("loss", "guide") if isinstance(oracle, Mixed) else ("loss", *PARTS):
        wrong = {name: 1.05 * value for name, value in part(exact, which).items()}
        found, bound = worst(part(draws, which), wrong)
        assert found > bound, f"a bias of 5 % of the {which} has to be seen"


@pytest.mark.parametrize("oracle", ORACLES)
def test_unbiased(oracle):
    right(MeasureValued(), ORACLES[oracle]())


def test_several_particles_and_one_by_one():
    right(MeasureValued(2), Bits(seed=6))
    oracle = Mixed()
    objective = MeasureValued(2, vectorize_particles=False)(oracle.model, oracle.guide)
    objective(oracle.x).backward()
    assert all(p.grad.isfinite().all() for p in objective.parameters())


def test_one_bit_is_exact():
    """Nothing is drawn but the bit itself, and its gradient is that of every draw."""
    draws, exact = gradients(MeasureValued(), OneBit((0.2, 0.7)), 5)
    for draw in part(draws, "guide")["guide.logit"]:
        torch.testing.assert_close(draw, part(exact, "guide")["guide.logit"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["Normal", "Bernoulli", "Poisson"])
def test_a_wrong_factor_is_seen(kind, monkeypatch):
    (cls,) = (c for c in measure_valued.DIFFERENCES if c.__name__ == kind)
    right_ones = measure_valued.DIFFERENCES[cls]

    def wrong(q, z):
        for d in right_ones(q, z):
            yield measure_valued.Difference(d.above, d.below, 1.5 * d.factor, d.parameter)

    monkeypatch.setitem(measure_valued.DIFFERENCES, cls, wrong)
    found, bound = worst(*gradients(MeasureValued(), Mixed(), 150, 200))
    assert found > bound


def test_latents_that_depend_on_one_another_are_refused_by_name():
    oracle = Chain()
    with pytest.raises(ValueError, match="MeasureValued serves latents that are independent .* y depends .* z"):
        MeasureValued()(oracle.model, oracle.guide)(oracle.x)


def in_plates(values, x, observed):
    with pyro.plate("batch", 2, dim=-2):
        with pyro.plate("bits", 3, dim=-1):
            z = pyro.sample("z", dist.Bernoulli(logits=values))
        if observed:
            pyro.sample("x", dist.Normal(z.sum(-1, keepdim=True).square(), 1.0), obs=x[:, None])


def in_one_event(values, x, observed):
    with pyro.plate("batch", 2):
        z = pyro.sample("z", dist.Bernoulli(logits=values).to_event(1))
        if observed:
            pyro.sample("x", dist.Normal(z.sum(-1).square(), 1.0), obs=x)


def test_bits_in_a_plate_inside_a_datum():
    """The same as in one event, from the same draws."""
    logits, x, found = torch.randn(2, 3).double().requires_grad_(), torch.tensor([1.0, 4.0]).double(), []
    for program in (in_plates, in_one_event):
        pyro.set_rng_seed(0)
        model, guide = partial(program, torch.zeros(2, 3).double()), partial(program, logits)
        loss = MeasureValued(2).differentiable_loss(lambda x, m=model: m(x, True), lambda x, g=guide: g(x, False), x)
        found.append(torch.cat([loss.detach()[None], torch.autograd.grad(loss, logits)[0].flatten()]))
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


def test_the_exact_gradients_of_the_mixture_are_of_its_own_sum():
    oracle = Mixed()
    assert all(g.abs().max() > 1e-3 for g in exact_gradients(lambda: oracle.elbo().sum(), oracle.guide).values())
