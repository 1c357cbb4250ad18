"""A scale that a loss learns itself needs its own term, once for every number of the data; and what it is called."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from elbolab import audit
from elbolab.auditing.kinds import Kind


def kl(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)


class Scaled(nn.Module):
    """Squared or absolute error over a learned scale, beside `terms` of its logarithm for every number."""

    def __init__(self, terms, constant=0.0, error="gaussian", weight=1.0, size=()):
        super().__init__()
        self.log_sigma = nn.Parameter(torch.full(size, 0.2))
        self.terms, self.constant, self.error, self.weight = terms, constant, error, weight

    def forward(self, x_hat, x, mu, logvar):
        apart = (x - x_hat) / self.log_sigma.exp()
        found = 0.5 * apart**2 if self.error == "gaussian" else apart.abs()
        rec = (found + self.terms * self.log_sigma + self.constant).sum(1)
        return (rec + self.weight * kl(mu, logvar)).mean()


class Inside(nn.Module):
    def __init__(self, criterion):
        super().__init__()
        self.criterion = criterion

    def loss(self, x_hat, x, mu, logvar):
        return self.criterion(x_hat, x, mu, logvar)


@pytest.mark.parametrize(("error", "constant"), [("gaussian", 0.5 * math.log(2 * math.pi)), ("laplace", math.log(2))])
def test_a_learned_scale_with_its_term_is_right(error, constant):
    whole = audit(Scaled(1, constant, error))
    assert whole.kind is Kind.SCALED
    short = audit(Scaled(1, 0.0, error))
    assert short.kind is Kind.SHIFTED
    assert "a scale that is learned, with its own term" in str(short)


@pytest.mark.parametrize("error", ["gaussian", "laplace"])
def test_without_its_term_it_grows(error):
    found = audit(Scaled(0, 0.0, error))
    assert found.kind is Kind.WRONG_LIKELIHOOD
    assert "`log_sigma` is learned" in str(found)
    assert "is missing" in str(found)


@pytest.mark.parametrize(("terms", "weight"), [(0.5, 1.0), (1.0, 2.0)])
def test_too_few_terms_or_a_weighted_kl(terms, weight):
    found = audit(Scaled(terms, weight=weight))
    assert found.kind is Kind.WRONG_LIKELIHOOD
    assert f"is there {terms / weight:.4g} times" in str(found)
    assert f"weight {weight / terms:.4g}" in str(found)


def test_of_a_module_inside_and_as_it_was_afterwards():
    inner = Scaled(0)
    assert "`criterion.log_sigma` is learned" in str(audit(Inside(inner).loss))
    assert inner.log_sigma.item() == pytest.approx(0.2)
    assert audit(Inside(Scaled(1)).loss).is_elbo


def test_a_learned_weight_of_what_has_no_scale():
    class Weighed(Scaled):
        def forward(self, x_hat, x, mu, logvar):
            rec = F.binary_cross_entropy(x_hat, x, reduction="none").sum(1)
            return ((self.log_sigma - 0.2).exp() * rec + kl(mu, logvar)).mean()

    found = audit(Weighed(0))
    assert found.kind is Kind.WRONG_LIKELIHOOD
    assert "has no scale" in str(found)


def sigma_for_a_variance(x_hat, x, mu, rho):
    sigma = F.softplus(rho)
    rec = F.binary_cross_entropy(x_hat, x, reduction="none").sum(1)
    return (rec - 0.5 * (1 + torch.log(sigma) - mu**2 - sigma).sum(1)).mean()


def var_for_a_deviation(x_hat, x, mu, rho):
    var = torch.exp(rho)
    rec = F.binary_cross_entropy(x_hat, x, reduction="none").sum(1)
    return (rec - 0.5 * (1 + torch.log(var**2) - mu**2 - var**2).sum(1)).mean()


def std_for_a_deviation(x_hat, x, mu, rho):
    std = F.softplus(rho)
    rec = F.binary_cross_entropy(x_hat, x, reduction="none").sum(1)
    return (rec - 0.5 * (1 + torch.log(std**2) - mu**2 - std**2).sum(1)).mean()


@pytest.mark.parametrize(("loss", "called", "other"), [
    (sigma_for_a_variance, "`sigma`, computed from `rho`, is charged as a variance", "F.softplus(rho)**2"),
    (var_for_a_deviation, "`var`, computed from `rho`, is charged as a standard deviation", "rho.exp()"),
])  # fmt: skip
def test_what_is_computed_from_the_head_has_a_name_too(loss, called, other):
    found = audit(loss)
    assert found.kind is Kind.WRONG_KL
    assert called in str(found)
    assert other in str(found)


def test_a_name_that_is_right_says_nothing():
    found = audit(std_for_a_deviation)
    assert found.kind is Kind.SCALED
    assert found.head == "softplus std"


SIGMA = nn.Parameter(torch.zeros(()))


def over_a_global_scale(x_hat, x, mu, logvar):
    return ((0.5 * ((x - x_hat) / SIGMA.exp()) ** 2).sum(1) + kl(mu, logvar)).mean()


def test_a_scale_beside_the_function():
    assert "`SIGMA` is learned" in str(audit(over_a_global_scale))
    inner = Scaled(0)

    def loss(x_hat, x, mu, logvar):
        return inner(x_hat, x, mu, logvar)

    assert "`inner.log_sigma` is learned" in str(audit(loss))
