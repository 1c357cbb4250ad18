"""What DoubleCV and RODEO learn: with it they vary as their papers say, RODEO < DoubleCV < ARMS < RLOO."""

import pyro
import pyro.distributions as dist
import pytest
import torch

from elbolab.estimators.copula import ARMS
from elbolab.estimators.enumeration import Enumeration
from elbolab.estimators.score import RLOO
from elbolab.estimators.stein import RODEO, DoubleCV
from elbolab.oracles import Bits, Codes
from tests.elbolab.replicates import variance


def total(variances):
    return sum(value.sum().item() for value in variances.values())


def taught(estimator, oracle, steps):
    """At fixed parameters of model and guide, which it leaves as they are."""
    objective, x = estimator.double()(oracle.model, oracle.guide), oracle.x.repeat(25, 1)
    before = [p.clone() for p in (*oracle.model.parameters(), *oracle.guide.parameters())]
    optimiser = torch.optim.Adam(estimator.parameters(), lr=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        objective(x).backward()
        optimiser.step()
    after = [*oracle.model.parameters(), *oracle.guide.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    return estimator


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_published_order_of_variances(seed):
    """Shi et al., 2022: at two decoder evaluations."""
    oracle = Bits(6, 12, hidden=8, seed=seed)
    estimators = [taught(RODEO(2), oracle, 400), taught(DoubleCV(2), oracle, 400), ARMS(2), RLOO(2)]
    rodeo, double, arms, loo = (total(variance(e, oracle, 1500)) for e in estimators)
    assert rodeo < 0.9 * double
    assert double < 0.6 * arms
    assert arms < 0.9 * loo


@pytest.mark.parametrize(
    "oracle", [lambda: Bits(6, 12, hidden=8), pytest.param(lambda: Codes(5, seed=2), marks=pytest.mark.slow)]
)
def test_double_cv_learns_its_number(oracle):
    oracle = oracle()
    estimator = taught(DoubleCV(2), oracle, 200)
    assert -1.5 < estimator.strength.item() < -0.2
    assert total(variance(estimator, oracle, 600)) < 0.7 * total(variance(RLOO(2), oracle, 600))


@pytest.mark.parametrize(
    "q", [lambda own: dist.Bernoulli(logits=own).to_event(1), lambda own: dist.OneHotCategorical(logits=own)]
)
def test_a_linear_signal_leaves_no_variance(q):
    """Without data f is linear in z, and DoubleCV at -1 exact in every draw."""
    logits, prior = torch.randn(2, 3).double().requires_grad_(), torch.randn(3).double()

    def program(values):
        def run(x):
            with pyro.plate("batch", 2):
                pyro.sample("z", q(values))

        return run

    estimators = (DoubleCV(3, strength=-1.0).double(), Enumeration())
    losses = [e.differentiable_loss(program(prior), program(logits), None) for e in estimators]
    found, expected = (torch.autograd.grad(loss, logits)[0] for loss in losses)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
