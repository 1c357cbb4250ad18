"""Training data that stay on the disk are to the last bit those in memory."""

import os

import numpy as np
import pytest
import torch

from data import Arrays, DataError, on_disk
from data.validation import with_validation
from tests.test_train import metrics, refused, run, same, state
from tests.training.test_compiled_runs import torchrun
from training import Processes, compiled_step, record

DATA = np.random.default_rng(0)
FILES = {
    "float32": DATA.random((300, 2, 3)).astype(np.float32),
    "float64": DATA.random((300, 5)),
    "bytes": DATA.integers(0, 256, (300, 7), dtype=np.uint8),
    "big-endian": DATA.random((300, 4)).astype(">f4"),
    "bool": DATA.random((300, 6)) < 0.5,
}


def both(path, **options):
    return [Arrays(path, in_memory=how, **options) for how in ("yes", "no")]


@pytest.mark.parametrize("name", FILES)
def test_rows_on_the_disk_are_those_in_memory(name, tmp_path):
    np.save(tmp_path / "x.npy", FILES[name])
    splits = [with_validation(source.splits(), 0.2, 5) for source in both(tmp_path / "x.npy", scale=255.0)]
    assert isinstance(splits[1].train, on_disk.RowsOnDisk)
    assert record.fingerprints(splits[0]) == record.fingerprints(splits[1]), "the same sha256, of every split"
    loaded = [source.load(split) for source, split in zip(both(tmp_path / "x.npy"), splits, strict=True)]
    index = torch.tensor([5, 0, 5, 200])
    assert torch.equal(loaded[0].batch(index), loaded[1].batch(index))
    assert [loaded[1].train.min(), loaded[1].train.max()] == [loaded[0].train.min(), loaded[0].train.max()]
    assert torch.equal(torch.cat(list(on_disk.blocks(loaded[1].train))), loaded[0].train)


def test_rows_that_were_expected_are_the_same_and_read_once(tmp_path):
    np.save(tmp_path / "x.npy", FILES["float32"])
    source = Arrays(tmp_path / "x.npy", in_memory="no")
    train = source.load(source.splits()).train
    batches = [torch.tensor(b) for b in ([3, 1], [4, 1], [5, 9], [2, 6])]
    alone = [train[batch] for batch in batches]
    reads, original = [], train._rows.read

    def read(index):
        reads.append(index.tolist())
        return original(index)

    train._rows.read = read
    train.expect(batches[:3])
    train.expect(batches[1:])
    for batch, expected in zip(batches, alone, strict=True):
        assert torch.equal(train[batch], expected)
    assert reads == [batch.tolist() for batch in batches]
    train.expect(batches)
    assert torch.equal(train[batches[2]], alone[2]), "one that was skipped is not waited for"
    assert torch.equal(train[torch.tensor([7])], alone[0][:0].new_tensor(FILES["float32"][train._rows.chosen[7]])[None])


def options(path, how):
    chosen = f"--data Arrays --data.path {path} --data.in_memory {how} --data.binarize dynamic --data.validation 0.1"
    return [*chosen.split(), *["--latent", "2", "--hidden", "8", "--batch_size", "64", "--epochs", "3"]]


@pytest.mark.parametrize("compile", ["off", "on"])
def test_a_run_on_the_disk_is_the_run_in_memory(tmp_path, monkeypatch, compile):
    monkeypatch.setattr(compiled_step, "compile_graph", lambda graph, inputs: graph)
    np.save(tmp_path / "x.npy", FILES["float32"])
    for how in ("yes", "no"):
        assert run(*options(tmp_path / "x.npy", how), "--compile", compile, "--out", tmp_path / how) == 0
    assert metrics(tmp_path / "yes") == metrics(tmp_path / "no")
    assert same(state(tmp_path / "yes"), state(tmp_path / "no"))


def test_where_the_data_are_kept_may_change_as_a_run_goes_on(tmp_path):
    np.save(tmp_path / "x.npy", FILES["float32"])
    assert run(*options(tmp_path / "x.npy", "yes"), "--out", tmp_path / "straight") == 0
    assert run(*options(tmp_path / "x.npy", "no"), "--epochs", 1, "--out", tmp_path / "two") == 0
    assert run("--out", tmp_path / "two", "--resume", "--epochs", 3, "--data.in_memory", "yes") == 0
    assert same(state(tmp_path / "two"), state(tmp_path / "straight"))


def test_auto_goes_by_the_memory_that_there_is(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", FILES["float32"])
    source = Arrays(tmp_path / "x.npy")
    assert isinstance(source.splits().train, np.ndarray)
    monkeypatch.setattr("data.arrays.available", lambda: 3 * FILES["float32"].nbytes - 1)
    assert isinstance(source.splits().train, on_disk.RowsOnDisk)


def test_a_file_that_changes_is_noticed(tmp_path):
    np.save(tmp_path / "x.npy", FILES["float32"])
    train = Arrays(tmp_path / "x.npy", in_memory="no").splits().train
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(1000)
    os.utime(tmp_path / "x.npy", (1, 1))
    with pytest.raises(DataError, match="was changed while it is read"):
        train.read(np.array([200]))


@pytest.mark.parametrize(
    ("make", "arguments", "code", "message"),
    [
        (lambda p: np.savez(p, train=FILES["float32"]), [], 2, "in_memory = no takes a .npy file"),
        (lambda p: np.save(p, np.asfortranarray(FILES["float64"])), [], 2, "in C order"),
        (lambda p: np.save(p, FILES["float32"]), ["--data.binarize", "static"], 2, "take dynamic"),
        (lambda p: np.save(p, np.where(FILES["float32"] > 0.999, np.nan, FILES["float32"])), [], 3, "not finite"),
        (lambda p: np.save(p, 3 * FILES["float32"]), ["--data.binarize", "no"], 2, "Bernoulli is for data in"),
        (lambda p: np.save(p, 3 * FILES["float32"]), ["--data.binarize", "dynamic"], 2, "needs data in [0, 1]"),
        (lambda p: np.save(p, FILES["float32"].astype(complex)), [], 2, "of numbers"),
        (lambda p: np.save(p, FILES["float32"]), ["--data.csr", "true"], 2, "sparse rows are read whole"),
    ],
)
def test_what_cannot_stay_on_the_disk_is_refused(tmp_path, capsys, make, arguments, code, message):
    with (tmp_path / "x").open("wb") as file:
        make(file)
    options = ["--data", "Arrays", "--data.path", tmp_path / "x", "--data.in_memory", "no", *arguments]
    found, said = refused(capsys, *options, "--epochs", 1, "--out", tmp_path / "run")
    assert (found, message in said) == (code, True), said


def test_a_process_of_several_expects_its_own_share(tmp_path, monkeypatch):
    """What a step of two processes reads is what it was told to expect: nothing is read twice."""
    np.save(tmp_path / "x.npy", FILES["float32"])
    source = Arrays(tmp_path / "x.npy", in_memory="no")
    dataset = source.load(source.splits())
    reads, original = [], dataset.train._rows.read
    dataset.train._rows.read = lambda index: reads.append(index.tolist()) or original(index)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    processes, batch = Processes(), torch.arange(10, 20)
    dataset.expect([processes.share(batch)])
    dataset.batch(processes.share(batch))
    assert reads == [[15, 16, 17, 18, 19]]


@pytest.mark.slow
def test_two_processes_read_the_run_in_memory(tmp_path):
    np.save(tmp_path / "x.npy", FILES["float32"])
    for how in ("yes", "no"):
        torchrun(2, *options(tmp_path / "x.npy", how), "--out", tmp_path / how)
    assert same(state(tmp_path / "yes"), state(tmp_path / "no"))


@pytest.mark.slow
def test_a_run_on_the_disk_by_the_compiler_is_the_run_in_memory(tmp_path):
    np.save(tmp_path / "x.npy", FILES["float32"])
    for how in ("yes", "no"):
        assert run(*options(tmp_path / "x.npy", how), "--compile", "on", "--out", tmp_path / how) == 0
    assert metrics(tmp_path / "yes") == metrics(tmp_path / "no")
    assert same(state(tmp_path / "yes"), state(tmp_path / "no"))
