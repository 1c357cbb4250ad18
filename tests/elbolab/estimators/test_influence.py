"""A latent's score is weighed by what the latent can influence, and by all of that."""

from dataclasses import replace

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO

from elbolab import REINFORCE, RLOO, PerSite
from elbolab.estimators.score import _Score
from elbolab.programs.draw import Draw
from elbolab.programs.influence import Influence
from elbolab.programs.reading import read
from elbolab.programs.separation import plates_that_mix

X = torch.tensor([[1.2, -0.3, 0.7], [0.4, 2.0, -1.1]])


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)


def latent(scores):
    """A Normal with a path, or without one for the estimators that take the score."""
    return lambda *args: dist.Normal(*args).has_rsample_(not scores)


def programs(observe, scores=True):
    """One latent for all, one for each row, one for each cell; an observed value of each cell, and of each row."""
    normal = latent(scores)

    def plates():
        return pyro.plate("rows", 2, dim=-2), pyro.plate("columns", 3, dim=-1)

    def model(x):
        rows, columns = plates()
        a = pyro.sample("a", normal(0.0, 1.0))
        with rows:
            b = pyro.sample("b", normal(a, 1.0))
            pyro.sample("y", dist.Normal(b, 1.0), obs=x[:, :1])
        with rows, columns:
            c = pyro.sample("c", normal(b, 1.0))
            pyro.sample("x", dist.Normal(observe(c), 0.8), obs=x)

    def guide(x):
        rows, columns = plates()
        with rows, columns:
            c = pyro.sample("c", normal(pyro.param("of_c", torch.tensor([[0.3, -0.2, 0.5], [0.1, 0.4, -0.6]])), 0.7))
        with rows:
            b = pyro.sample("b", normal(pyro.param("of_b", torch.tensor([[0.2], [-0.4]])), 0.6))
        pyro.sample("a", normal(pyro.param("of_a", torch.tensor(0.3)), 0.9))
        return b, c

    return model, guide


def gradients(elbo, calls, *programs):
    found = []
    for _ in range(calls):
        pyro.clear_param_store()
        elbo.loss_and_grads(*programs, X)
        found.append(torch.cat([leaf.grad.flatten() for _, leaf in sorted(pyro.get_param_store()._params.items())]))
    return torch.stack(found)


OBSERVES = {
    "each its own": lambda c: c,
    "the one beside it": lambda c: c.roll(1, -1),
    "all before": lambda c: c.cumsum(-1),
}


@pytest.mark.parametrize("observe", OBSERVES.values(), ids=OBSERVES)
@pytest.mark.parametrize("estimator", [REINFORCE(2000), RLOO(2000), PerSite(2000)], ids=lambda e: type(e).__name__)
def test_unbiased_with_latents_at_every_depth(estimator, observe):
    exact = gradients(Trace_ELBO(num_particles=4000, vectorize_particles=True), 8, *programs(observe, scores=False))
    found = gradients(estimator, 12, *programs(observe))
    error = (exact.var(0) / len(exact) + found.var(0) / len(found)).sqrt()
    assert ((exact.mean(0) - found.mean(0)) / error).abs().max() < 5.5  # t of few degrees, ten coordinates


def test_elements_that_mix_are_found():
    for name, observe in OBSERVES.items():
        model, guide = programs(observe)
        mixed = plates_that_mix(model, guide, (X,), {}, read(model, guide, (X,)))
        assert mixed == (frozenset() if name == "each its own" else {"columns"})


def test_a_signal_taken_by_elements_that_mix_is_wrong():
    """What the search keeps out: the term beside it, which the latent moves, would be left out."""

    class Unseeing(RLOO):
        def check(self, *args, **keywords):
            return replace(super().check(*args, **keywords), mixed=frozenset())

    observe = OBSERVES["the one beside it"]
    exact = gradients(Trace_ELBO(num_particles=4000, vectorize_particles=True), 4, *programs(observe, scores=False))
    found = gradients(Unseeing(2000), 8, *programs(observe))
    assert ((exact.mean(0) - found.mean(0)) / found.std(0) * 8**0.5).abs().max() > 10


def test_a_signal_is_the_sum_of_what_depends_on_the_latent():
    model, guide = programs(OBSERVES["each its own"])
    draw = Draw(model, guide, (X,), particles=5)
    (m, q), influence = draw.traces, Influence(draw)
    m.compute_log_prob(), q.compute_log_prob()

    def term(trace, name):
        return trace.nodes[name]["log_prob"]

    of_c = term(m, "c") + term(m, "x") - term(q, "c")
    torch.testing.assert_close(influence.signal("c"), of_c.detach())
    of_b = term(m, "b") + term(m, "y") - term(q, "b") + term(m, "c").sum(-1, keepdim=True)
    torch.testing.assert_close(influence.signal("b"), of_b.detach())
    of_a = term(m, "a") - term(q, "a") + term(m, "b").sum(-2, keepdim=True)
    torch.testing.assert_close(influence.signal("a"), of_a.detach())


def test_a_plate_that_latents_are_not_all_in_costs_little_noise():
    """Of many cells, each cell's score is not weighed by all of them."""
    observe = OBSERVES["each its own"]
    spread = gradients(REINFORCE(20), 60, *programs(observe)).std(0)
    whole = gradients(_Whole(20), 60, *programs(observe)).std(0)
    assert (spread < 0.8 * whole).sum() > 6


class _Whole(REINFORCE):
    """All terms for every latent."""

    def estimate(self, draw):
        return _Score.estimate(self, draw)
