"""Programs as users of Pyro write them, against Pyro's own objective; or refused, where that would be wrong too."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.distributions import constraints
from pyro.infer import Trace_ELBO, config_enumerate
from pyro.infer.autoguide import (
    AutoDelta,
    AutoGuideList,
    AutoHierarchicalNormalMessenger,
    AutoLowRankMultivariateNormal,
    AutoNormal,
    AutoNormalMessenger,
    AutoRegressiveMessenger,
    AutoStructured,
)
from pyro.infer.reparam import LocScaleReparam

from elbolab import REINFORCE, RLOO, DReG, Pathwise, PathwiseAnalyticKL, PerSite, StickingTheLanding

X = torch.tensor([0.3, 1.4, -0.8, 1.1, 0.2, 2.0])
Y = torch.tensor([0.5, 1.6, -1.2, 1.5, 0.1, 2.7])
GROUPS = torch.tensor([0, 0, 1, 1, 2, 2])


@pytest.fixture(autouse=True)
def float64(one_store):
    torch.set_default_dtype(torch.float64)


def regression(x, y):
    slope = pyro.sample("slope", dist.Normal(0.0, 1.0))
    scale = pyro.sample("scale", dist.Gamma(3.0, 2.0))
    shift = pyro.sample("shift", dist.Beta(2.0, 3.0))
    with pyro.plate("data", len(x)):
        hidden = pyro.sample("hidden", dist.Normal(slope * x, scale))
        pyro.sample("y", dist.Normal(hidden + shift, 0.6), obs=y)


def grouped(x, y):
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    spread = pyro.sample("spread", dist.LogNormal(0.0, 0.3))
    with pyro.plate("groups", 3):
        slope = pyro.sample("slope", dist.Normal(mean, spread))
    with pyro.plate("data", len(x), subsample_size=4) as i:
        pyro.sample("y", dist.Normal(slope[..., GROUPS[i]] * x[i], 0.5), obs=y[i])


def lifted(x, y):
    slope, shift = pyro.param("slope", torch.tensor(0.5)), pyro.param("shift", torch.tensor(0.1))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(slope * x + shift, 0.5), obs=y)


def series(x, y):
    state = torch.tensor(0.0)
    with pyro.plate("series", 2, dim=-1):
        for t in pyro.markov(range(3)):
            state = pyro.sample(f"state_{t}", dist.Normal(state, 1.0))
            pyro.sample(f"x_{t}", dist.Normal(state, 0.5), obs=x.reshape(3, 2)[t])


def listed(model):
    guide = AutoGuideList(model)
    guide.append(AutoNormal(poutine.block(model, hide=["scale"])))
    guide.append(AutoDelta(poutine.block(model, expose=["scale"])))
    return guide


LIFTED = poutine.lift(lifted, prior={"slope": dist.Normal(0.0, 1.0), "shift": dist.Normal(0.0, 1.0)})
MOVED = poutine.reparam(regression, config={"hidden": LocScaleReparam(0.3)})
SMOOTH = {
    "a messenger": (regression, AutoNormalMessenger),
    "a messenger of levels": (regression, AutoHierarchicalNormalMessenger),
    "a messenger that regresses": (regression, AutoRegressiveMessenger),
    "of low rank": (regression, AutoLowRankMultivariateNormal),
    "structured": (regression, AutoStructured),
    "a list of guides": (regression, listed),
    "reparameterised": (MOVED, AutoNormal),
    "groups, and a subsample": (grouped, AutoNormal),
    "lifted parameters": (LIFTED, AutoNormal),
    "a time series": (series, AutoNormal),
}


def gradients(elbo, model, guide, calls):
    rows = []
    for _ in range(calls):
        loss = elbo.loss_and_grads(model, guide, X, Y)
        leaves = dict(pyro.get_param_store()._params)
        rows.append(torch.cat([torch.tensor([loss]), *(leaf.grad.flatten() for _, leaf in sorted(leaves.items()))]))
        for leaf in leaves.values():
            leaf.grad = None
    return torch.stack(rows)


def agree(elbo, model, guide, particles=1000, calls=10):
    expected = gradients(Trace_ELBO(num_particles=particles, vectorize_particles=True), model, guide, calls)
    found = gradients(elbo, model, guide, calls)
    error = ((expected.var(0) + found.var(0)) / calls).sqrt() + 1e-9
    assert ((expected.mean(0) - found.mean(0)) / error).abs().max() < 6.5, "of t with 18 degrees, some 20 coordinates"


@pytest.mark.parametrize("elbo", [Pathwise, PathwiseAnalyticKL, RLOO], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("name", SMOOTH)
def test_latents_with_a_path(name, elbo):
    model, made = SMOOTH[name]
    agree(elbo(200), model, made(model))


@pytest.mark.filterwarnings("ignore:state_0Found")
def test_a_hidden_markov_model():
    def model(x, y):
        move = pyro.param("move", torch.tensor([[0.7, 0.3], [0.2, 0.8]]), constraint=constraints.simplex)
        mean, state = pyro.param("mean", torch.tensor([-0.5, 1.0])), torch.tensor(0)
        for t in pyro.markov(range(3)):
            state = pyro.sample(f"state_{t}", dist.Categorical(move[state]))
            pyro.sample(f"x_{t}", dist.Normal(mean[state], 0.7), obs=x[t])

    @config_enumerate
    def guide(x, y):
        table, state = pyro.param("table", torch.arange(12.0).reshape(3, 2, 2).sin()), torch.tensor(0)
        for t in pyro.markov(range(3)):
            state = pyro.sample(f"state_{t}", dist.Categorical(logits=table[t, state]))

    pyro.set_rng_seed(0)
    for elbo in (RLOO(4000), REINFORCE(4000), PerSite(4000)):
        agree(elbo, model, guide, particles=8000)


def test_a_mixture_whose_classes_are_to_be_enumerated():
    def model(x, y):
        weights = pyro.sample("weights", dist.Dirichlet(torch.ones(2)))
        with pyro.plate("classes", 2):
            mean = pyro.sample("mean", dist.Normal(0.0, 2.0))
        with pyro.plate("data", len(x)):
            own = pyro.sample("own", dist.Categorical(weights), infer={"enumerate": "parallel"})
            pyro.sample("x", dist.Normal(mean[own], 0.5), obs=x)

    guide = AutoNormal(poutine.block(model, hide=["own"]))
    for elbo in (Pathwise(), RLOO(2), DReG(2)):
        with pytest.raises(ValueError, match="own is to be enumerated: TraceEnum_ELBO does that"):
            elbo.loss(model, guide, X, Y)


def test_a_point_of_change():
    def model(x, y):
        when = pyro.sample("when", dist.Uniform(0.0, 6.0))
        with pyro.plate("data", len(x)) as i:
            pyro.sample("x", dist.Normal(torch.where(i < when, 0.2, 1.1), 0.6), obs=x)

    def guide(x, y):
        loc = pyro.param("loc", torch.tensor(0.4))
        pyro.sample("when", dist.TransformedDistribution(dist.Normal(loc, 1.0), sigmoid))

    sigmoid = [dist.transforms.SigmoidTransform(), dist.transforms.AffineTransform(0.0, 6.0)]
    for elbo in (Pathwise(), StickingTheLanding(), DReG(2)):
        with pytest.raises(ValueError, match="the guide's when goes through lt in test_written_programs.py"):
            elbo.loss(model, guide, X, Y)
    # P(i < 6 sigmoid(loc + e)) log p(x_i | before) + ..., and the entropy and the prior of what is drawn
    elbo, total = RLOO(20_000), []
    for _ in range(8):
        total.append(gradients(elbo, model, guide, 1)[0, 1])
    loc, i = torch.tensor(0.4, requires_grad=True), torch.arange(6.0)
    before = dist.Normal(0.0, 1.0).cdf(loc - (i / (6 - i)).log())
    gain = dist.Normal(0.2, 0.6).log_prob(X) - dist.Normal(1.1, 0.6).log_prob(X)
    nodes = torch.linspace(-8, 8, 4001)
    weight = torch.exp(-0.5 * nodes**2) / math.sqrt(2 * math.pi) * (nodes[1] - nodes[0])
    z = loc + nodes
    jacobian = (weight * (torch.nn.functional.logsigmoid(z) + torch.nn.functional.logsigmoid(-z))).sum()
    (exact,) = torch.autograd.grad(-((before * gain).sum() + jacobian), loc)
    found = torch.stack(total)
    assert abs(found.mean() - exact) < 5 * found.std() / math.sqrt(8) + 1e-3
