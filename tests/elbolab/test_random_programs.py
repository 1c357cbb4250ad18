"""Every estimator on random Pyro programs: right, or refused by name before its first number.

The answers are exact (tests/elbolab/random_programs). More programs, and fresh ones: `pytest -m slow --programs 200 --seed 1000
tests/elbolab/test_random_programs.py`, or `python -m tests.elbolab.random_programs --programs 200 --seed 1000`.
"""

from dataclasses import replace
from functools import lru_cache

import elbolab.estimators
import pyro
import pytest
import torch
from elbolab.estimators import Estimator
from pyro.infer import RenyiELBO, Trace_ELBO

from tests.elbolab.random_programs.claims import BY_LABEL, CLAIMS, ELBO, Claim
from tests.elbolab.random_programs.comparison import REFUSED, RIGHT, UNKNOWN, Answers, Effort, compare
from tests.elbolab.random_programs.grammar import random_program
from tests.elbolab.random_programs.survey import answers, survey

EFFORT = Effort(draws=1000)
PROGRAMS = 40  # of which every estimator sees some
EACH = 12
KNOWN: dict[str, str] = {}


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)


@lru_cache(maxsize=None)
def known(seed: int) -> Answers:
    return answers(random_program(seed), EFFORT)


def seeds(claim: Claim) -> list[int]:
    start = CLAIMS.index(claim)
    return [(start + 3 * index) % PROGRAMS for index in range(EACH)]


def claims():
    for claim in CLAIMS:
        marks = [pytest.mark.xfail(reason=KNOWN[claim.label], strict=True)] if claim.label in KNOWN else []
        yield pytest.param(claim, id=claim.label, marks=marks)


@pytest.mark.parametrize("claim", list(claims()))
def test_right_or_refused(claim):
    for seed in seeds(claim):
        outcome = compare(claim, random_program(seed), known(seed), EFFORT)
        assert not outcome.failed, str(outcome)


@pytest.mark.slow
def test_many_programs(pytestconfig):
    first = pytestconfig.getoption("--seed")
    found = survey(map(random_program, range(first, first + pytestconfig.getoption("--programs"))), Effort())
    print(found.table())
    assert not found.failures, "\n\n".join(map(str, found.failures[:5]))


def test_every_estimator_has_a_claim():
    classes = {
        name
        for name in elbolab.estimators.__all__
        if isinstance(cls := getattr(elbolab.estimators, name), type) and issubclass(cls, Estimator)
    }
    assert {claim.name for claim in CLAIMS} == classes - {"Estimator"}
    for claim in CLAIMS:
        unbiased = getattr(elbolab.estimators, claim.name).unbiased
        assert unbiased == (claim.guide is not None), claim.label
