import hashlib
import json
import os

import pytest
import torch

from data.files import write_atomically
from training import CheckpointError, RunFolder, checkpoint

PARTS = {"data": None, "prior": None, "likelihood": None, "guide": None, "elbo": None, "seed": 0}
SETTINGS = {"latent": 2, "epochs": 3, "device": "cpu", "resume": False} | PARTS


def started(folder, settings, **how):
    folder.claim(settings, **how)
    folder.open()
    folder.release()


def test_a_file_may_be_read_by_whom_any_new_file_may(tmp_path):
    (tmp_path / "any").touch()
    write_atomically(tmp_path / "ours", b"content")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_a_folder_in_use_is_refused(tmp_path):
    folder = RunFolder(tmp_path / "run")
    started(folder, SETTINGS)
    folder.log({"step": 1})
    with pytest.raises(ValueError, match="not empty: --resume"):
        started(folder, SETTINGS)
    with pytest.raises(ValueError, match="choose one"):
        started(folder, SETTINGS, resume=True, overwrite=True)
    assert folder.metrics() == [{"step": 1}]


def test_overwrite_removes_a_run_and_nothing_else(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / "thesis.tex").write_text("years of work")
    started(folder, SETTINGS, overwrite=True)
    folder.log({"step": 1})
    folder.summarize({"a": 1})
    started(folder, SETTINGS, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", ".summary.lock", "config.yaml", "thesis.tex"]


def test_a_resumed_run_may_go_on_longer_and_elsewhere_but_not_be_another(tmp_path):
    folder = RunFolder(tmp_path)
    started(folder, SETTINGS)
    started(folder, SETTINGS | {"epochs": 9, "device": "cuda"}, resume=True)
    assert folder.settings()["epochs"] == 9
    with pytest.raises(CheckpointError, match="latent was 2, is 5"):
        started(folder, SETTINGS | {"latent": 5}, resume=True)


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        started(RunFolder(tmp_path), SETTINGS, resume=True)


def test_a_line_that_is_cut_short_is_not_there_yet(tmp_path):
    folder = RunFolder(tmp_path)
    folder.log({"step": 10})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2')
    assert folder.metrics() == [{"step": 10}]
    (tmp_path / "metrics.jsonl").write_text('{"step": 1\n{"step": 2}\n')
    with pytest.raises(CheckpointError, match="no JSON"):
        folder.metrics()


def test_the_history_is_mended_from_the_checkpoint(tmp_path):
    folder = RunFolder(tmp_path)
    for step in (10, 20, 30):
        folder.log({"step": step})
    folder.mend_metrics([{"step": 10}, {"step": 15}])
    assert folder.metrics() == [{"step": 10}, {"step": 15}]


def test_the_summary_grows(tmp_path):
    folder = RunFolder(tmp_path)
    folder.summarize({"train": 1})
    folder.summarize({"test": 2})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"train": 1, "test": 2}


def state(step=3, **more):
    """As small a checkpoint as there can be."""
    optimizer = {"state": {}, "param_groups": []}
    found = {"step": step, "compiled": False, "objective": {"w": torch.arange(5.0)}, "optimizer": optimizer}
    totals = [torch.zeros((), dtype=torch.float64)]
    return found | {"totals": totals, "generators": [checkpoint.generators()], "history": []} | more


STATE = state()


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path):
    checkpoint.save(tmp_path, STATE)
    back = checkpoint.load(tmp_path, "cpu")
    assert back["step"] == 3
    assert torch.equal(back["objective"]["w"], STATE["objective"]["w"])
    assert torch.equal(back["generators"][0]["cpu"], STATE["generators"][0]["cpu"])
    digest = hashlib.sha256((tmp_path / "checkpoint.pt").read_bytes()).hexdigest()
    assert (tmp_path / "checkpoint.pt.sha256").read_text() == f"{digest}  checkpoint.pt\n"


def test_the_one_before_and_the_best_are_kept(tmp_path):
    for step, best in ((1, False), (2, True), (3, False), (4, False)):
        checkpoint.save(tmp_path, state(step), best=best)
    assert {name: checkpoint.load(tmp_path, "cpu", name)["step"] for name in checkpoint.FILES} == {
        "last": 4,
        "previous": 3,
        "best": 2,
    }
    (tmp_path / "checkpoint.pt").write_bytes(b"?")
    with pytest.raises(CheckpointError, match=r"damaged.*whole are: previous, best \(--checkpoint previous\)"):
        checkpoint.load(tmp_path, "cpu")


def test_a_damaged_checkpoint_is_refused(tmp_path):
    checkpoint.save(tmp_path, STATE)
    content = bytearray((tmp_path / "checkpoint.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(tmp_path, "cpu")
    with pytest.raises(CheckpointError, match="no complete checkpoint"):
        checkpoint.load(tmp_path / "elsewhere", "cpu")


class Evil:
    def __reduce__(self):
        return (os.system, ("touch pwned",))


def test_a_checkpoint_with_code_is_refused(tmp_path):
    checkpoint.save(tmp_path, state(Evil()))
    with pytest.raises(CheckpointError, match="tensors and plain values"):
        checkpoint.load(tmp_path, "cpu")
    assert not os.path.exists("pwned")


@pytest.mark.parametrize("survives", range(7))
def test_a_crash_at_any_rename_leaves_a_checkpoint(tmp_path, monkeypatch, survives):
    checkpoint.save(tmp_path, state(1), best=True)
    checkpoint.save(tmp_path, state(2))
    replaced, rename = [], os.replace

    def replace(source, target):
        if len(replaced) == survives:
            raise KeyboardInterrupt
        replaced.append(target)
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    if survives < 5:
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(tmp_path, state(3), best=True)
    else:
        checkpoint.save(tmp_path, state(3), best=True)
    monkeypatch.undo()
    steps = {name: checkpoint.load(tmp_path, "cpu", name)["step"] for name in checkpoint.FILES}
    assert steps["last"] == (2 if survives < 3 else 3)
    assert steps["previous"] == (1 if survives < 2 else 2)
    assert steps["best"] == (1 if survives < 4 else 3)
    checkpoint.save(tmp_path, state(4))
    assert checkpoint.load(tmp_path, "cpu")["step"] == 4
    assert not list(tmp_path.glob("*.partial")), "nothing half-written stays"


def test_what_a_process_that_was_killed_left_of_a_summary_goes_with_the_next_one(tmp_path):
    (tmp_path / ".summary.json.abc.partial").write_text("{")
    RunFolder(tmp_path).summarize({"test": 1})
    assert RunFolder(tmp_path).summary() == {"test": 1}
    assert not list(tmp_path.glob(".*.partial"))
