import hashlib
import json
import os

import pytest
import torch

from training import CheckpointError, RunFolder, checkpoint

SETTINGS = {"latent": 2, "epochs": 3, "device": "cpu", "resume": False}


def started(folder, settings, **how):
    folder.claim(settings, **how)
    folder.open()


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
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.yaml", "thesis.tex"]


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


def test_lines_after_the_checkpoint_are_forgotten(tmp_path):
    folder = RunFolder(tmp_path)
    for step in (10, 20, 30):
        folder.log({"step": step})
    folder.forget_after(20)
    assert [row["step"] for row in folder.metrics()] == [10, 20]


def test_the_summary_grows(tmp_path):
    folder = RunFolder(tmp_path)
    folder.summarize({"train": 1})
    folder.summarize({"test": 2})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"train": 1, "test": 2}


STATE = {"step": 3, "parameters": {"w": torch.arange(5.0)}, "generators": checkpoint.generators()}


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path):
    checkpoint.save(tmp_path, STATE)
    back = checkpoint.load(tmp_path, "cpu")
    assert back["step"] == 3
    assert torch.equal(back["parameters"]["w"], STATE["parameters"]["w"])
    assert torch.equal(back["generators"]["cpu"], STATE["generators"]["cpu"])
    digest = hashlib.sha256((tmp_path / "checkpoint.pt").read_bytes()).hexdigest()
    assert (tmp_path / "checkpoint.pt.sha256").read_text() == f"{digest}  checkpoint.pt\n"


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
    checkpoint.save(tmp_path, {"step": Evil()})
    with pytest.raises(CheckpointError, match="tensors and plain values"):
        checkpoint.load(tmp_path, "cpu")
    assert not os.path.exists("pwned")


@pytest.mark.parametrize("survives", [0, 1, 2])
def test_a_crash_at_any_point_leaves_a_checkpoint(tmp_path, monkeypatch, survives):
    checkpoint.save(tmp_path, {"step": 1})
    replaced = []

    def replace(source, target):
        if len(replaced) == survives:
            raise KeyboardInterrupt
        replaced.append(target)
        os.rename(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, {"step": 2})
    assert checkpoint.load(tmp_path, "cpu")["step"] == (1 if survives < 2 else 2)
