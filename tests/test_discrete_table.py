"""What makes docs/discrete-estimators.md: settings that train, what is measured, and the page as it is written."""

import json
from types import SimpleNamespace

import pytest

import elbolab
import train
from elbolab.oracles import Bits
from elbolab.studying.replicated_objective import ReplicatedObjective
from experiments.discrete import bias, page, table


@pytest.mark.parametrize("setting", ["linear", "nonlinear", "bits"])
def test_the_settings_train(setting, tmp_path):
    options = ["--config", str(table.HERE / f"{setting}.yaml"), "--data", "Digits", "--compile", "off"]
    assert (
        train.main([*options, "--elbo", "RLOO", "--elbo.num_particles", "2", "--epochs", "1", "--out", str(tmp_path)])
        == 0
    )


@pytest.mark.parametrize("name", table.PLAN["estimators"])
def test_every_estimator_takes_two_decoder_evaluations(name):
    oracle = Bits()
    elbo = getattr(elbolab, name)(table.PLAN["estimators"][name])
    assert ReplicatedObjective(name, elbo, oracle.model, oracle.guide, oracle.x).evaluations == 2


@pytest.mark.parametrize(
    ("evaluations", "name", "particles"),
    [(n, name, k) for n, several in table.PLAN["variance"]["estimators"].items() for name, k in several.items()],
)
def test_variances_are_compared_at_equal_decoder_evaluations(evaluations, name, particles):
    oracle = Bits()
    elbo = getattr(elbolab, name)(particles)
    assert ReplicatedObjective(name, elbo, oracle.model, oracle.guide, oracle.x).evaluations == evaluations


def test_variances_are_as_multiples_of_the_reference():
    point = {"2": {"DisARM": (4.0, 0.4), "RODEO": (2.0, 0.1)}}
    plan = {"estimators": {"2": {"DisARM": 1, "RODEO": 2}}, "reference": "DisARM", "variance": {"5": point}}
    rows = page.variances({"variance": plan}).splitlines()[2:]
    assert rows == [
        "| DisARM | 2 | 1.000 ± 0.100 | 1.00 |",
        "| RODEO | 2 | 0.500 ± 0.056 | 0.79 |",  # the root of (0.1 / 2)^2 + (0.4 / 4)^2, times the ratio
    ]


def test_seed_after_seed_all_estimators_equally_long(tmp_path):
    plan = [(job.seed, job.estimator, job.epochs) for job in table.jobs("short", tmp_path) if job.setting == "linear"]
    names = list(table.PLAN["estimators"])
    assert len(names) >= 12
    assert [name for _, name, _ in plan] == 3 * names
    assert [seed for seed, *_ in plan] == sorted(seed for seed, *_ in plan)
    assert len({epochs for *_, epochs in plan}) == 1


def subject(elbo, oracle):
    return ReplicatedObjective(type(elbo).__name__, elbo, oracle.model, oracle.guide, oracle.x)


def test_a_bias_is_found_and_none_where_there_is_none():
    oracle = Bits(4)
    known = bias.exact(SimpleNamespace(model=oracle.model, guide=oracle.guide), oracle.x)
    one = subject(elbolab.DisARM(), oracle)
    distance, error = bias.off(one, known, 40000)
    assert distance < 4 * error
    planted, error = bias.off(one, 1.05 * known, 40000)
    assert planted == pytest.approx(0.05 / 1.05, abs=4 * error)
    assert planted > 4 * error
    through, error = bias.off(subject(elbolab.StraightThrough(), oracle), known, 4000)
    assert through > 0.1 > 4 * error


def test_the_page_is_what_the_numbers_give():
    found = json.loads(page.RESULTS.read_text())
    text = page.PAGE.read_text()
    assert page.written(text, found) == text
    assert f"| {page.marked('ReinMax')} |" in text
    found["trainings"]["RLOO"][0]["test_bound"] -= 1
    assert page.written(text, found) != text
