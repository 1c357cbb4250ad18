"""The page of a run, in a real browser: its numbers are Python's, nothing is fetched, bad input does no harm."""

import re

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO

import evaluate
import train
from elbolab.report.program import draws
from tests import browser
from training import Experiment, RunFolder
from training.report import content, programs, write

pytestmark = pytest.mark.browser
CLOSE = 1e-4  # nats, what the page promises


@pytest.fixture(scope="module")
def chromium():
    browser.chromium()
    with browser.started() as started:
        yield started


def made(folder, options, *, limit=2_000_000, evaluated=False):
    """A run of a moment and its page."""
    assert train.main([*options.split(), "--out", str(folder)]) == 0
    run = RunFolder(folder)
    if evaluated:
        assert evaluate.main([str(folder), "--samples", "3", "--report"]) == 0
        return run, folder / "report.html"
    lab = Experiment.load(run, device="cpu")
    return run, write(lab, run, evaluate.posterior_means(lab, lab.dataset.test), limit=limit)[0]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "<script>alert(1)</script>", "--epochs 1 --hidden 64", evaluated=True)


@pytest.fixture(scope="module")
def opened(chromium, digits):
    return browser.Page(chromium, digits[1])


def pyros(run, datum, noise):
    """What Pyro's objectives say of a datum, on the run's own weights, with this noise for z."""
    lab = Experiment.load(run, device="cpu")
    model, guide = lab.model.double(), lab.guide.double()
    pyro.enable_validation(False)
    x = lab.dataset.test[content.shown(lab)][datum : datum + 1].double()
    q = guide.posterior(x)
    if isinstance(q.base_dist, torch.distributions.Normal):
        z = q.mean + q.base_dist.scale * torch.tensor(noise, dtype=torch.float64)
    else:
        z = (torch.tensor(noise, dtype=torch.float64) < q.mean).double()
    site = poutine.trace(guide).get_trace(x)
    site.nodes["z"]["value"] = z
    replayed = poutine.replay(guide, trace=site)
    found = {"trace": Trace_ELBO().loss(model, replayed, x)}
    if q.has_rsample:
        found["mean_field"] = TraceMeanField_ELBO().loss(model, replayed, x)
    return found


LOSSES = """async ([datum, noise]) => {
  const { machine, losses, given } = await elbolab.page;
  const found = losses(machine, machine.datum(datum), given(noise));
  return Object.fromEntries(Object.entries(found).filter(([, value]) => typeof value === "number"));
}"""


def compared(page, run, latent, *, bits=False):
    rng = np.random.default_rng(1)
    for datum in range(5):
        noise = (rng.random(latent) if bits else rng.standard_normal(latent)).tolist()
        expected = pyros(run, datum, noise)
        found = page.evaluate(LOSSES, [datum, noise])
        assert found["trace"] == pytest.approx(expected["trace"], abs=CLOSE)
        assert found["sampled"] == pytest.approx(expected["trace"], abs=CLOSE), "written out in the page"
        if "mean_field" in expected:
            assert found["mean_field"] == pytest.approx(expected["mean_field"], abs=CLOSE)
            assert found["analytic"] == pytest.approx(expected["mean_field"], abs=CLOSE)


def test_its_numbers_are_pyros(opened, digits):
    compared(opened, digits[0], 20)
    assert not opened.errors
    assert opened.is_hidden("#trouble")


def test_it_fetches_nothing_and_is_small(opened, digits):
    assert opened.fetched == []
    assert digits[1].stat().st_size <= 2_000_000
    assert "default-src 'none'" in digits[1].read_text()


def test_what_comes_from_the_run_is_shown_and_not_run(opened):
    assert opened.inner_text("h1") == "script>", "the folder's last part"
    assert "<script>alert(1)" in opened.inner_text("#about")


def test_a_datum_is_drawn_and_bad_input_does_no_harm(opened):
    opened.click("#clear")
    box = opened.locator("#datum canvas").bounding_box()
    opened.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    opened.mouse.down()
    opened.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"], steps=4)
    opened.mouse.up()
    opened.wait_for_timeout(50)
    assert "your own" in opened.inner_text("#datum-title")
    opened.locator("#datum canvas").focus()
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press(" ")
    opened.evaluate(
        "async () => { const { workbench } = await elbolab.page; workbench.x[3] = NaN; workbench.encoded(); }"
    )
    opened.wait_for_timeout(50)
    assert "not a number" in opened.inner_text("#numbers-table")
    opened.click("#next")
    opened.wait_for_timeout(50)
    assert "not a number" not in opened.inner_text("#numbers-table")
    assert not opened.errors


def test_z_is_moved_by_pointer_and_by_keyboard(opened):
    before = opened.inner_text("#here")
    opened.locator("#pad svg.pad").focus()
    opened.keyboard.press("ArrowRight")
    opened.wait_for_timeout(50)
    moved = opened.inner_text("#here")
    assert re.search(r"[\d.]+ nats", moved)
    assert moved != before
    box = opened.locator("#pad svg.pad").bounding_box()
    opened.mouse.click(box["x"] + 20, box["y"] + 20)
    opened.wait_for_timeout(50)
    assert opened.inner_text("#here") != moved


def test_every_line_of_the_chain_holds(opened):
    opened.click("#again100")
    text = opened.inner_text("#chain")
    assert text.count("holds") == 7
    assert "off by" not in text
    assert "β = 64" in text


def test_bits(chromium, tmp_path):
    options = "--epochs 1 --prior Bernoulli --guide Bernoulli --elbo RLOO --elbo.num_particles 2 --latent 6 --hidden 20"
    run, path = made(tmp_path / "bits", options)
    page = browser.Page(chromium, path)
    compared(page, run, 6, bits=True)
    page.click("#pad button >> nth=2")
    page.wait_for_timeout(50)
    assert not page.errors


def test_counts(chromium, tmp_path):
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (60, 12)).astype(np.float32)
    np.savez(
        tmp_path / "words.npz", train=counts[:40], test=counts[40:], vocab=np.array([f"<b>{i}" for i in range(12)])
    )
    options = (
        f"--data Arrays --data.path {tmp_path}/words.npz --likelihood Multinomial --latent 3 --hidden 8 --epochs 1"
    )
    run, path = made(tmp_path / "counts", options)
    page = browser.Page(chromium, path)
    compared(page, run, 3)
    assert "<b>" in page.inner_text("#datum")
    assert page.fetched == []


def test_what_does_not_fit_is_left_out_by_name(chromium, tmp_path):
    run, path = made(tmp_path / "small", "--epochs 1 --hidden 300", limit=210_000)
    assert path.stat().st_size <= 210_000
    page = browser.Page(chromium, path)
    assert "do not fit" in page.inner_text("#about")
    assert page.is_disabled("#from-posterior")
    assert page.is_disabled("#again")
    assert not page.errors


def test_a_page_whose_arithmetic_is_wrong_refuses_itself(chromium, digits, tmp_path):
    """A planted error: what Python would not agree with is not shown."""
    text = digits[1].read_text()
    broken = text.replace('"tanh": unary(Math.tanh)', '"tanh": unary(Math.sin)')
    assert broken != text
    (tmp_path / "broken.html").write_text(broken)
    page = browser.Page(chromium, tmp_path / "broken.html")
    assert "where Python computed" in page.inner_text("#about")
    assert page.is_disabled("#again")


def test_what_has_no_javascript_is_named(tmp_path):
    lab = Experiment(latent=4, hidden=8, device="cpu", prior=programs_prior("StudentT"))
    found = programs.exported(programs.Parts(lab), lab.dataset.test[:1].double())
    assert "StudentT" in found.refused["prior"]
    assert "_standard_gamma" in found.refused["prior"]
    assert "StudentT" in found.refused["kl"]
    assert {"decode", "draw", "log_p", "trace"} <= found.programs.keys()


def programs_prior(name):
    from model import priors

    return getattr(priors, name)


def test_the_list_of_what_is_drawn_is_read_from_the_javascript():
    assert {"randn", "rand", "multinomial"} <= draws()
