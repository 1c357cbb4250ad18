"""Every estimator on random Pyro programs: right, or refused by name before its first number.

The answers are exact (tests/elbolab/random_programs). More programs, and fresh ones:

    pytest -m slow --programs 200 --seed 1000 tests/elbolab/test_random_programs.py
    python -m tests.elbolab.random_programs --programs 200 --seed 1000
"""

from dataclasses import replace
from functools import cache
from itertools import islice

import pytest
import torch
from pyro.infer import RenyiELBO, Trace_ELBO

import elbolab.estimators
from elbolab.estimators import Estimator
from tests.elbolab.random_programs.claims import BY_LABEL, CLAIMS, ELBO, Claim
from tests.elbolab.random_programs.comparison import ANSWERED, RIGHT, UNKNOWN, WRONG, Answers, Effort, compare
from tests.elbolab.random_programs.grammar import random_program
from tests.elbolab.random_programs.landmarks import LANDMARKS
from tests.elbolab.random_programs.planted import MUTANTS
from tests.elbolab.random_programs.program import Program
from tests.elbolab.random_programs.survey import answers, survey

EFFORT = Effort(draws=400, calls=3)
PROGRAMS = 40  # of which every estimator sees some
EACH = 4
# Of every family one, for the programs that went wrong once; the slow suite takes all.
CORE = ["PathwiseAnalyticKL", "StickingTheLanding", "PerSite(2)", "NVIL", "DReG(2)", "VIMCO(2)", "DisARM", "REBAR"]
CORE += ["PIWAE(1, batches=2)", "Enumeration", "Pathwise(sobol)"]
SLOW_MUTANTS = ("BaselinePutBackTwice", "ScoreFivePercent", "DeafRLOO", "UncheckedREBAR", "UncheckedPathwiseAnalyticKL")


@pytest.fixture(autouse=True)
def float64(one_store):
    torch.set_default_dtype(torch.float64)


@cache
def known(seed: int) -> Answers:
    return answers(random_program(seed), EFFORT)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.label)
def test_right_or_refused(claim):
    start = CLAIMS.index(claim)
    for index in range(EACH):
        seed = (start + 3 * index) % PROGRAMS
        outcome = compare(claim, random_program(seed), known(seed), EFFORT)
        assert not outcome.failed, str(outcome)


@pytest.mark.parametrize("program", LANDMARKS, ids=lambda program: program.name)
def test_programs_that_went_wrong(program):
    right_or_refused(program, [BY_LABEL[label] for label in CORE])


@pytest.mark.slow
@pytest.mark.parametrize("program", LANDMARKS, ids=lambda program: program.name)
def test_programs_that_went_wrong_for_all(program):
    right_or_refused(program, CLAIMS)


def right_or_refused(program, claims):
    exact = answers(program, EFFORT)
    for claim in claims:
        outcome = compare(claim, program, exact, EFFORT)
        assert not outcome.failed, str(outcome)


@pytest.mark.slow
def test_many_programs(pytestconfig):
    first = pytestconfig.getoption("--seed")
    found = survey(map(random_program, range(first, first + pytestconfig.getoption("--programs"))), Effort())
    print(found.table())
    assert not found.failures, "\n\n".join(map(str, found.failures[:5]))


def mutants():
    for mutant in MUTANTS:
        marks = [pytest.mark.slow] if mutant.name in SLOW_MUTANTS else []
        yield pytest.param(mutant, id=mutant.error, marks=marks)


@pytest.mark.parametrize("mutant", list(mutants()))
def test_a_planted_error_is_seen(mutant):
    """On one of the first three programs where it matters."""
    tried = (seed for seed in range(400) if mutant.matters(random_program(seed)) and not random_program(seed).refuse)
    for seed in islice(tried, 3):
        effort = Effort(mutant.draws)
        outcome = compare(mutant, random_program(seed), answers(random_program(seed), effort), effort)
        if outcome.verdict in (WRONG, ANSWERED):
            return
    pytest.fail(f"not seen: {outcome}")


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        ("bits that are compared", "UncheckedREBAR"),
        ("bits that are rounded", "UncheckedREBAR"),
        ("flow by hand", "MovedWithItsPoints"),
    ],
)
def test_what_a_check_keeps_out_is_wrong(name, mutant):
    (program,) = (landmark for landmark in LANDMARKS if landmark.name == name)
    (planted,) = (one for one in MUTANTS if one.name == mutant)
    assert compare(planted, program, answers(program, Effort(2000)), Effort(2000)).verdict == WRONG


@pytest.mark.parametrize("label", ["RLOO", "MovingAverage", "DReG(2)"])
def test_one_object_on_many_programs_in_turn(label):
    """What it keeps from one program is none of the next one's."""
    claim, few = BY_LABEL[label], Effort(draws=200, calls=2)
    estimator, served = claim.make(few.draws), 0
    for seed in (*range(10), 0):
        program = random_program(seed)
        if program.vectorize:
            outcome = compare(claim, program, Answers(program, 20 if program.local() else 1), few, estimator)
            assert not outcome.failed, str(outcome)
            served += outcome.verdict == RIGHT
    assert served


@pytest.mark.filterwarnings("ignore:Found ")
def test_exact_answers_are_what_stock_pyro_estimates():
    """The ELBO and its gradients, wherever Trace_ELBO is right: score functions need all of the guide in log r."""
    stock, tried = Stock("Trace_ELBO", {}, ELBO, ELBO, ELBO, ("num_particles",)), 0
    for seed in range(20):
        program = random_program(seed)
        if not program.refuse and _stock_is_right(program):
            outcome = compare(stock, program, known(seed), EFFORT)
            assert outcome.verdict == RIGHT, str(outcome)
            tried += 1
    assert tried > 10


@pytest.mark.filterwarnings("ignore:Found ")
def test_exact_bounds_are_what_stock_pyro_estimates():
    """L_2 where all is one unit, the only one that RenyiELBO knows."""
    bound = {(2, 0.0): 1.0}
    stock, tried = Stock("RenyiELBO", {"num_particles": 2, "alpha": 0.0}, bound, bound, bound), 0
    for seed in range(120):
        program = replace(random_program(seed), call="loss_and_grads")
        if program.common_plates() or program.refuse or not _stock_is_right(program) or not _smooth(program):
            continue
        if any(plate.subsample for plate in program.plates.values()):
            continue
        outcome = compare(stock, program, Answers(program), Effort(calls=16))
        assert outcome.verdict in (RIGHT, UNKNOWN), str(outcome)
        tried += outcome.verdict == RIGHT
    assert tried > 4


class Stock(Claim):
    """A class of Pyro's."""

    def make(self, draws: int, vectorize: bool = True):
        cls = {"Trace_ELBO": Trace_ELBO, "RenyiELBO": RenyiELBO}[self.label]
        return cls(**{"vectorize_particles": vectorize} | self.arguments(draws, vectorize))


def _smooth(program: Program) -> bool:
    """Whether all draws carry gradients."""
    return all(site.rsample and site.family in ("Normal", "LogNormal", "Delta") for site in program.latents())


def _stock_is_right(program: Program) -> bool:
    """Log r lacks what the guide alone has, and scores are masked: neither matters where no score is needed."""
    drawn = {site.name for site in program.model if site.latent}
    alone = any(site.name not in drawn for site in program.guide if site.family != "deterministic")
    return _smooth(program) or not (alone or any(site.mask for site in program.latents()))


def test_every_estimator_has_a_claim():
    classes = {
        name
        for name in elbolab.estimators.__all__
        if isinstance(cls := getattr(elbolab.estimators, name), type) and issubclass(cls, Estimator)
    }
    assert {claim.name for claim in CLAIMS} == classes - {"Estimator"}
    for claim in CLAIMS:
        assert claim.guide is not None or not getattr(elbolab.estimators, claim.name).unbiased, claim.label
