"""What README and docs/results.md say is what the kept summaries say; a kept summary is of the row that it names."""

import copy
import json
import re

import numpy as np
import pytest
import yaml
from sklearn.decomposition import PCA

import train
from experiments import kept, linear, pages
from experiments.published import SOURCES
from experiments.statistics import Claim, answer, deviation, freedom
from experiments.tables import TABLES

RESULTS = kept.load()
FILES = sorted(kept.RESULTS.glob("*.json"))


@pytest.mark.parametrize("path", pages.PAGES, ids=lambda path: path.name)
def test_the_pages_are_what_is_written_from_the_kept_summaries(path):
    page = path.read_text()
    assert pages.rendered(page, RESULTS) == page


def test_a_number_that_was_changed_by_hand_is_found():
    path = kept.HERE.parent / "docs/results.md"
    page = path.read_text()
    number = re.search(r"\d\d\.\d\d", page[page.index("<!-- table mnist -->") :])[0]
    changed = page.replace(number, "12.34")
    assert changed != page
    assert pages.rendered(changed, RESULTS) == page


def test_a_kept_number_that_was_changed_changes_the_page():
    path = kept.HERE.parent / "docs/results.md"
    other = copy.deepcopy(RESULTS)
    other["mnist"][0].test["nll"] += 0.5
    assert pages.rendered(path.read_text(), other) != path.read_text()


def test_every_table_is_on_a_page_once_and_results_hold_no_other_numbers():
    found = [match["name"] for path in pages.PAGES for match in pages.MARKED.finditer(path.read_text())]
    assert sorted(found) == sorted(TABLES)
    page = (kept.HERE.parent / "docs/results.md").read_text()
    rest = re.sub(r"arXiv [\d.]+", "", re.sub(r"```.*?```", "", pages.MARKED.sub("", page), flags=re.DOTALL))
    assert not re.findall(r"\d\.\d", rest)


def resolved(capsys, *options):
    """What options of train.py stand for, with all that they leave out."""
    with pytest.raises(SystemExit) as stopped:
        train.main([*options, "--print_config"])
    assert stopped.value.code == 0
    return kept.portable(yaml.safe_load(capsys.readouterr().out))


@pytest.mark.parametrize("row", RESULTS)
def test_a_kept_summary_is_of_the_row_that_it_names(row, capsys):
    wanted, usual = resolved(capsys, "--config", str(kept.HERE / f"{row}.yaml")), resolved(capsys)
    for record in RESULTS[row]:
        assert kept.says(wanted, record.settings)
        # Options that came later than the run are as they are where nothing is said.
        later = wanted.keys() - record.settings.keys()
        assert {name: wanted[name] for name in later} == {name: usual[name] for name in later}
        assert record.test["loss"] == pytest.approx(record.test["rate"] + record.test["distortion"])


@pytest.mark.parametrize("row", [row for row in kept.rows() if row not in RESULTS])
def test_a_row_that_was_not_run_yet_can_be(row, capsys):
    """Its options are read, and are no other row's."""
    options = [] if row != "newsgroups" else ["--data.path", "words.npz"]
    assert kept.row_of(resolved(capsys, "--config", str(kept.HERE / f"{row}.yaml"), *options), kept.rows()) == row


def test_a_run_is_kept_under_the_row_that_it_is_of():
    rows = kept.rows()
    for record in (record for records in RESULTS.values() for record in records):
        assert kept.row_of(record.settings, rows) == record.row
    with pytest.raises(ValueError, match="of no row"):
        kept.row_of(RESULTS["mnist"][0].settings | {"epochs": 7}, rows)


def test_every_figure_has_its_source_and_every_row_that_is_named_exists():
    rows = kept.rows()
    for source in SOURCES:
        assert re.fullmatch(r"\d{4}\.\d{5}|", source.arxiv)
        assert all(figure.row in rows for figure in source.figures if figure.row)


def record(nll, seed=0):
    return RESULTS["mnist"][0]._replace(seed=seed, test={"nll": nll})


def test_an_ordering_is_answered_by_its_standard_error_and_what_that_is_known_from():
    rows = {"a": [record(90.0), record(90.2)], "b": [record(91.0), record(91.2)], "c": [record(90.1), record(90.3)]}
    spread = deviation(list(rows.values()))
    assert spread == pytest.approx(0.2 / 2**0.5)
    found = {
        pair: answer(Claim(*pair, ""), rows, spread, freedom(list(rows.values())))
        for pair in (("a", "b"), ("b", "a"), ("a", "c"))
    }
    assert [found["a", "b"].word, found["b", "a"].word, found["a", "c"].word] == ["holds", "fails", "open"]
    assert found["a", "b"].error == pytest.approx(spread)
    assert answer(Claim("a", "b", ""), rows, spread, 1).word == "open", "one degree of freedom knows too little"
    assert answer(Claim("a", "b", ""), rows, deviation([[record(1.0)]]), 0).word.startswith("not known")


def test_the_maximum_of_the_linear_vae_is_that_of_pca():
    x = np.random.default_rng(0).normal(size=(50, 6)) @ np.diag([3, 2, 1.5, 1, 0.5, 0.4])
    best = linear.maximum(x, range(2))
    # scikit-learn's covariance divides by one datum less than is likeliest, which costs 6 (r - 1 - log r) / 2.
    ratio = 49 / 50
    assert PCA(2).fit(x).score(x) == pytest.approx(best - 3 * (ratio - 1 - np.log(ratio)), abs=1e-9)
    others = [linear.maximum(x, chosen) for chosen in ([0, 2], [1, 2], [0], [])]
    assert all(best > other for other in others)


def test_the_linear_row_reached_the_maximum_and_none_of_the_other_stationary_points():
    for kept_run in RESULTS["digits-linear"]:
        found = kept_run.exact
        assert found["elbo"] <= found["log_evidence"] <= found["maximum"] + 0.005
        assert found["maximum"] - found["elbo"] < 0.05
        assert found["another_for_the_last"] < found["elbo"] - 0.1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_kept_files_are_small(path):
    assert len(path.read_text()) < 6000
    assert json.loads(path.read_text())["row"] in path.stem
