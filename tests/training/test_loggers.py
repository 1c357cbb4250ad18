"""Who else is told of a run: what is told is what metrics.jsonl says."""

import csv
import json
import re
import sys

import numpy as np
import pytest
import torch
from torch.distributions import kl_divergence

import train
from tests.test_train import metrics, refused, run, same, state
from training import Experiment, RunFolder, starting
from training.loggers import CSV, Telling

tensorboard = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
SPLIT = ["--data.validation", 0.25]


def read(folder):
    found = tensorboard.EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0, "scalars": 0})
    found.Reload()
    return found


def curves(folder):
    found = read(folder)
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def expected(rows):
    """Tags and curves that are to be there, from metrics.jsonl."""
    tags = {"loss/train": "loss", "lr": "lr", "beta": "beta", "gradient_norm": "gradient_norm"}
    tags |= {f"{name}/validation": f"validation_{name}" for name in ("loss", "rate", "distortion")}
    found = {tag: [(row["step"], row[name]) for row in rows] for tag, name in tags.items()}
    return found | {f"kl/{i}": [(row["step"], row["kl"][i]) for row in rows] for i in range(2)}


def test_tensorboards_own_reader_reads_what_the_history_says(small, tmp_path):
    out = tmp_path / "run"
    assert run(*small, *SPLIT, "--epochs", 3, "--log", "tensorboard", "--out", out) == 0
    found, wanted = curves(out), expected(metrics(out))
    assert found.keys() == wanted.keys() | {"seconds"}
    for tag, curve in wanted.items():
        assert [step for step, _ in found[tag]] == [step for step, _ in curve]
        assert [value for _, value in found[tag]] == pytest.approx([value for _, value in curve], rel=1e-6)
    events = read(out)
    assert set(events.Tags()["images"]) == {"reconstructions", "samples"}
    assert [event.step for event in events.Images("samples")] == [metrics(out)[-1]["step"]], "at the end, once"


def test_a_run_that_goes_on_does_not_tell_a_step_twice(small, tmp_path):
    out = tmp_path / "run"
    assert run(*small, *SPLIT, "--epochs", 3, "--log", "TensorBoard", "--out", out) == 0
    assert run("--out", out, "--resume", "--checkpoint", "previous", "--epochs", 4) == 0
    assert [step for step, _ in curves(out)["loss/train"]] == [row["step"] for row in metrics(out)]


def test_names_of_loggers_are_known_in_any_case_and_other_words_stay(capsys):
    options = starting.parser_of(train.train).parse_args(["--out", "tensorboard", "--log", "tensorboard"])
    assert options.out.name == "tensorboard"
    assert options.log.class_path.endswith("TensorBoard")
    code, message = refused(capsys, "--epochs=1", "--log")
    assert code == 2
    assert "--log" in message


def lines(path):
    with (path / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_is_the_history(small, tmp_path):
    out = tmp_path / "run"
    assert run(*small, *SPLIT, "--epochs", 3, "--log", "csv", "--out", out) == 0
    for line, row in zip(lines(out), RunFolder(out).metrics(), strict=True):
        latents = {f"kl.{i}": value for i, value in enumerate(row.pop("kl"))}
        assert {name: float(value) for name, value in line.items()} == row | latents


def test_a_table_is_mended(tmp_path):
    table = CSV(tmp_path)
    for step in (1, 2, 3):
        table.log({"step": step, "loss": 0.5}, {})
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("4,")
    CSV(tmp_path).log({"step": 3, "loss": 0.25, "kl": [1.0]}, {})
    assert (tmp_path / "metrics.csv").read_text() == "step,loss,kl.0\n1,0.5,\n2,0.5,\n3,0.25,1.0\n"


MINE = """
import json
from training.loggers import Logger

class Mine(Logger):
    def __init__(self, folder, *, name="mine", breaks=False):
        super().__init__(folder)
        self.name, self.breaks = name, breaks

    def log(self, row, pictures):
        if self.breaks:
            raise OSError("the server is gone")
        with (self.folder / f"{self.name}.jsonl").open("a") as file:
            file.write(json.dumps([row["step"], sorted(pictures)]) + "\\n")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "my_logging.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "my_logging.Mine"
    sys.modules.pop("my_logging", None)


def test_a_logger_of_ones_own_is_named_by_its_path(small, tmp_path, own):
    assert run(*small, "--epochs", 2, "--log", own, "--log.name", "told", "--out", tmp_path / "run") == 0
    told = [json.loads(line) for line in (tmp_path / "run/told.jsonl").read_text().splitlines()]
    assert told == [[3, []], [6, ["reconstructions", "samples"]]]


def test_a_logger_that_breaks_does_not_end_the_run(small, tmp_path, own, capsys):
    assert run(*small, "--epochs", 2, "--log", own, "--log.breaks", "true", "--out", tmp_path / "run") == 0
    assert capsys.readouterr().err == "note: Mine is told no more: OSError: the server is gone\n"
    assert len(metrics(tmp_path / "run")) == 2


def test_who_is_told_changes_nothing_of_the_run(small, tmp_path):
    for name, told in (("with", ["--log", "tensorboard"]), ("without", [])):
        assert run(*small, "--data.binarize", "dynamic", "--epochs", 2, *told, "--out", tmp_path / name) == 0
        assert run("--out", tmp_path / name, "--resume", "--epochs", 3) == 0
    assert same(state(tmp_path / "with"), state(tmp_path / "without"))


def test_overwriting_a_run_removes_what_was_told_of_it(small, tmp_path):
    out = tmp_path / "run"
    for how in ("tensorboard", "csv"):
        assert run(*small, "--epochs", 1, "--log", how, "--out", out, "--overwrite") == 0
    assert not list((out / "tensorboard").iterdir())
    assert run(*small, "--epochs", 1, "--out", out, "--overwrite") == 0
    assert not (out / "metrics.csv").exists()


def test_a_missing_library_is_named_before_anything_is_written(small, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    code, said = refused(capsys, *small, "--log", "tensorboard", "--out", tmp_path / "run")
    assert code == 2
    assert "pip install 'elbolab[tensorboard]'" in said
    assert not (tmp_path / "run").exists()
    code, said = refused(capsys, *small, "--log", "tensorbord", "--out", tmp_path / "run")
    assert code == 2
    assert "did you mean TensorBoard?" in said


def test_the_kl_of_every_latent_is_the_mean_over_what_is_judged(small, tmp_path):
    assert run(*small, *SPLIT, "--epochs", 1, "--out", tmp_path / "run") == 0
    lab = Experiment.load(RunFolder(tmp_path / "run"))
    q, p = lab.guide.posterior(lab.dataset.validation), lab.model.prior()
    each = kl_divergence(q.base_dist, p.base_dist).mean(0)
    assert metrics(tmp_path / "run")[0]["kl"] == pytest.approx(each.tolist(), rel=1e-5)
    whole = kl_divergence(q, p).mean().item()
    assert sum(metrics(tmp_path / "run")[0]["kl"]) == pytest.approx(whole, rel=1e-5)


def test_where_latents_have_no_kl_of_their_own_there_is_none(small, tmp_path):
    assert run(*small, "--guide", "FullNormal", "--epochs", 1, "--out", tmp_path / "run") == 0
    assert "kl" not in metrics(tmp_path / "run")[0]


def test_the_gradient_norm_is_that_of_the_steps(small, tmp_path, monkeypatch):
    norms, original = [], torch.nn.utils.get_total_norm

    def spy(gradients, *arguments, **options):
        norms.append(original(gradients, *arguments, **options))
        return norms[-1]

    monkeypatch.setattr(torch.nn.utils, "get_total_norm", spy)
    assert run(*small, "--epochs", 2, "--clip", 0.1, "--out", tmp_path / "run") == 0
    found = [row["gradient_norm"] for row in metrics(tmp_path / "run")]
    assert found == pytest.approx([np.mean(norms[:3]), np.mean(norms[3:])], rel=1e-6)


def test_the_bar_shows_steps_nats_and_the_time_left(small, tmp_path, capsys, monkeypatch):
    original = train.tqdm
    shown = lambda **how: original(**(how | {"disable": False, "mininterval": 0, "ncols": 150}))  # noqa: E731
    monkeypatch.setattr(train, "tqdm", shown)
    monkeypatch.setattr(train, "LOOK", 2)
    assert run(*small, "--epochs", 2, "--out", tmp_path / "run") == 0
    bar = capsys.readouterr().err
    assert re.search(r"2/6 \[\d\d:\d\d<\d\d:\d\d, .*loss \d+\.\d\d nats per datum\]", bar), "within an epoch"
    assert re.search(r"6/6 .*loss \d\.\d\d, test -ELBO \d\.\d\d nats per datum\]", bar)


def test_pictures_that_cannot_be_drawn_lose_no_line(tmp_path, capsys):
    def broken():
        raise NotImplementedError("it has no mean")

    Telling(CSV(tmp_path))({"step": 1, "loss": 2.0}, broken)
    assert "no pictures to tell of: NotImplementedError: it has no mean" in capsys.readouterr().err
    assert (tmp_path / "metrics.csv").read_text() == "step,loss\n1,2.0\n"


def test_nothing_is_told_without_a_logger():
    Telling(None)({"step": 1}, lambda: pytest.fail("drawn for nobody"))
