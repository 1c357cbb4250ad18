"""The oracles of bits and codes: their sums against the programs' own densities, and against closed forms."""

import pytest
import torch

from elbolab.estimators.enumeration import all_values
from elbolab.oracles import Bits, Codes, OneBit
from elbolab.programs.draw import Draw

ORACLES = [Bits, lambda: Bits(2, beta=0.6), Codes, lambda: OneBit((0.2, 0.8))]


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("oracle", ORACLES)
def test_densities_are_those_of_the_programs(oracle):
    oracle = oracle()
    draw = Draw(oracle.model, oracle.guide, (oracle.x,))
    values = all_values(draw, list(draw.posteriors), 2**12)
    count = len(next(iter(values.values())))
    # The programs' values may come in another order.
    for found, expected in (
        (draw.log_p(values, count), oracle.log_p()),
        (draw.log_density(values, count), oracle.log_density()),
        (draw.log_weight(values, count), oracle.log_p() - oracle.log_q()),
    ):
        close(found.sort(0).values, expected.sort(0).values)
    close(oracle.log_density().exp().sum(0), torch.ones(len(oracle.x), dtype=torch.float64))


@pytest.mark.parametrize("oracle", ORACLES)
def test_bounds_are_ordered(oracle):
    oracle = oracle()
    bounds = [oracle.iwae(k) for k in (1, 2, 3, 4)]
    close(bounds[0], oracle.elbo())
    for lower, upper in zip(bounds, [*bounds[1:], oracle.log_evidence()], strict=True):
        if getattr(oracle, "beta", 1.0) == 1:  # with another weight there is no evidence to bound
            assert (lower < upper).all()


def test_one_bit_is_a_formula():
    oracle = OneBit((0.45,), logit=0.3, prior=-0.2)
    close(oracle.elbo(), super(OneBit, oracle).elbo())
    (found,) = torch.autograd.grad(oracle.elbo().sum(), oracle.guide.logit)
    close(found, oracle.derivative().sum())
    s = torch.tensor(0.3, dtype=torch.float64).sigmoid()
    # Without prior and entropy what is left is the toy's (2 t - 1) s (1 - s).
    close(found - s * (1 - s) * (-0.2 - 0.3), (2 * 0.45 - 1) * s * (1 - s))


def test_wake_is_stationary_at_the_posterior():
    oracle = OneBit((0.45,))
    with torch.no_grad():
        oracle.guide.logit.copy_((oracle.log_p()[1] - oracle.log_p()[0])[0])
    for objective in (oracle.wake(), oracle.elbo(), oracle.iwae(3)):
        close(torch.autograd.grad(objective.sum(), oracle.guide.logit)[0], torch.zeros(()).double())
    assert torch.autograd.grad(oracle.wake().sum(), oracle.model.prior, allow_unused=True) == (None,)
