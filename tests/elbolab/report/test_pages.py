"""The pages of a study and of an audit, in a real browser."""

import dataclasses

import numpy as np
import pytest
import torch

from elbolab import audit
from elbolab.auditing.kinds import Kind
from elbolab.auditing.report.verdict import Verdict
from elbolab.report.audit import audit_page
from elbolab.report.study import study_page
from elbolab.studying.cloud import Cloud
from elbolab.studying.result import Result
from tests import browser

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium():
    browser.chromium()
    with browser.started() as started:
        yield started


def result(name, particles, variance, *, unbiased=True):
    """A made-up result: what is tested is how it is shown."""
    rng = np.random.default_rng(particles)
    numbers = {field.name: 1.0 for field in dataclasses.fields(Result)}
    cloud = Cloud(("guide.a[0]", "guide.<b>[1]"), rng.standard_normal((300, 2)) * variance**0.5, (0.0, 0.0), True)
    words = {"label": f"{name} K={particles}", "estimator": name, "bound": "ELBO", "reference": "exact", "how": "vmap"}
    more = {"particles": particles, "variance": variance, "unbiased": unbiased, "snr_guide": float("nan")}
    return Result(**numbers | words | more | {"cloud": cloud, "draws": cloud.draws[:, 0], "replicates": 300})


@pytest.fixture(scope="module")
def study(chromium, tmp_path_factory):
    rows = {
        point: [result(name, k, v / k / turn) for name, v in (("<i>Loud", 8.0), ("Quiet", 1.0)) for k in (1, 5)]
        for turn, point in enumerate(("start (step 0)", "end (step 9)"), 1)
    }
    path = tmp_path_factory.mktemp("study") / "study.html"
    path.write_text(study_page(rows, title="<script>alert(1)</script>"), encoding="utf-8")
    return browser.Page(chromium, path)


def test_a_study_is_shown_and_fetches_nothing(study):
    assert study.inner_text("h1") == "<script>alert(1)</script>"
    assert study.locator("#cloud-panels svg").count() == 2
    assert "exact gradient" in study.inner_text("#clouds-text")
    assert "guide.<b>[1]" in study.inner_text("#clouds-text")
    assert study.fetched == []
    assert not study.errors


def test_its_table_is_sorted_by_any_column_and_what_is_missing_comes_last(study):
    def first():
        return study.inner_text("#table tbody tr >> nth=0")

    study.click("#table th[data-key=variance_model] button")
    study.click("#table th[data-key=family] button")
    assert first().startswith("<i>Loud")
    study.click("#table th[data-key=family] button")
    assert first().startswith("Quiet")
    assert study.get_attribute("#table th[data-key=family]", "aria-sort") == "descending"


def test_its_sliders_change_the_clouds(study):
    before = study.inner_html("#cloud-panels")
    study.locator("#particles").focus()
    study.keyboard.press("ArrowLeft")
    assert "K=1" in study.inner_text("#cloud-panels")
    assert study.inner_html("#cloud-panels") != before
    study.locator("#point").focus()
    study.keyboard.press("ArrowLeft")
    assert study.inner_text("#point-name") == "start (step 0)"


def test_a_dot_tells_what_it_is(study):
    study.locator("#cost-plot circle >> nth=0").focus()
    assert "Loud" in study.inner_text(".tip")


def test_a_study_that_is_too_large_shows_fewer_draws():
    rows = {"here": [result("A", 1, 1.0)]}
    full, thin = study_page(rows, title="x"), study_page(rows, title="x", limit=len(study_page(rows, title="x")) - 300)
    assert len(thin) < len(full)


def loss(recon_x, x, mu, logvar):
    bce = torch.nn.functional.binary_cross_entropy(recon_x, x, reduction="sum") / len(x)
    return bce - 0.5 * torch.mean(torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=0)) / len(x)


def test_an_audit_is_shown(chromium, tmp_path):
    verdict = audit(loss, algebra=True)
    path = tmp_path / "audit.html"
    path.write_text(audit_page(verdict, name="<b>my.py:loss"), encoding="utf-8")
    page = browser.Page(chromium, path)
    assert verdict.kind == "weighted"
    assert "<b>my.py:loss" in page.inner_text("h1")
    assert "not the ELBO" in page.inner_text("header")
    assert page.locator("section math").count() >= 2
    page.fill("#size-latent", "8")
    assert "β = 0.125" in page.inner_text("#weights-said")
    page.fill("#size-latent", "")
    assert "whole numbers" in page.inner_text("#weights-said")
    assert page.fetched == []
    assert not page.errors


@pytest.mark.parametrize("kind", Kind)
def test_every_verdict_has_a_page(kind):
    text = audit_page(Verdict(kind=kind, notes=("<note>",)), name="x")
    assert kind.meaning.replace("'", "&#x27;") in text
    assert "&lt;note&gt;" in text
