"""Files with bytes changed, cut or added: refused or read as what they say, never run, never a crash."""

import hashlib
import random
import shutil
import sys
from contextlib import suppress

import numpy as np
import pytest
import scipy.sparse
import yaml

import train
from data import MNIST, Arrays, DataError
from training import CheckpointError, RunFolder, checkpoint, settings, trust

SAMPLE, ALL = 15, 150  # of each of the seven kinds
WATCHED = {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class", "os.spawn"}
executed, _armed = [], []
sys.addaudithook(lambda event, arguments: executed.append(event) if _armed and event in WATCHED else None)


@pytest.fixture
def armed():
    """From here on nothing may be run."""
    _armed.append(True)
    yield
    _armed.clear()
    found = list(executed)
    executed.clear()
    assert not found


def changed(content, rng):
    """The content with a few bytes changed, cut out, repeated or made up."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(found) + 1)
        kind = rng.randrange(5)
        if kind == 0 and at < len(found):
            found[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            found[at : at + rng.randrange(1, 9)] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 2:
            del found[at:]
        elif kind == 3:
            del found[at : at + rng.randrange(1, 40)]
        else:
            found[at:at] = found[at : at + rng.randrange(1, 40)] or b"0"
    return bytes(found)


@pytest.fixture
def run(small, tmp_path):
    assert train.main([*small, "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def arrays(tmp_path, name, content, *, csr=False):
    path = tmp_path / name
    path.write_bytes(content)
    try:
        found = Arrays(path, csr=csr).splits()
    except DataError:
        return
    assert found.train.ndim >= 2
    assert len(found.train) >= 2
    assert np.asarray(found.train).dtype.kind in "biuf"


def npy(tmp_path, run):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((20, 3)))
    return (tmp_path / "x.npy").read_bytes(), lambda content: arrays(tmp_path, "y.npy", content)


def npz(tmp_path, run):
    np.savez(tmp_path / "x.npz", train=np.eye(20), test=np.eye(20), test_labels=np.arange(20))
    return (tmp_path / "x.npz").read_bytes(), lambda content: arrays(tmp_path, "y.npz", content)


def csr(tmp_path, run):
    rows = scipy.sparse.csr_array(np.random.default_rng(0).poisson(0.5, (30, 8)))
    np.savez(tmp_path / "x.npz", indptr=rows.indptr, indices=rows.indices, counts=rows.data)
    whole = (tmp_path / "x.npz").read_bytes()

    def read(content):
        arrays(tmp_path, "y.npz", content, csr=True)
        noise = random.Random(content)  # numbers that the archive's checksum has nothing against
        parts = {"indptr": rows.indptr.copy(), "indices": rows.indices.copy(), "counts": rows.data.copy()}
        part = parts[noise.choice(("indptr", "indices"))]
        part[noise.randrange(len(part))] = noise.choice((-1, -(2**31), 2**31 - 1, noise.randrange(-50, 50)))
        np.savez(tmp_path / "z.npz", **parts)
        arrays(tmp_path, "w.npz", (tmp_path / "z.npz").read_bytes(), csr=True)

    return whole, read


def idx(tmp_path, run):
    content = b"\0\0\x08\1\0\0\0\5abcde"
    source = MNIST()
    source.mirrors = ()
    source.checksums = {"t10k-labels-idx1-ubyte.gz": hashlib.sha256(content).hexdigest()}
    path = tmp_path / "cache/mnist/t10k-labels-idx1-ubyte.gz"
    path.parent.mkdir(parents=True)

    def read(content):
        path.write_bytes(content)
        with pytest.raises(DataError, match="checksum"):
            source._read(path.name)

    return content, read


def checkpoints(tmp_path, run):
    whole = (run / "checkpoint.pt").read_bytes()

    def read(content):
        folder = tmp_path / "copy"
        folder.mkdir(exist_ok=True)
        (folder / "checkpoint.pt").write_bytes(content)
        shutil.copy(run / "checkpoint.pt.sha256", folder)
        with pytest.raises(CheckpointError, match="damaged"):
            checkpoint.load(folder, "cpu")
        digest = hashlib.sha256(content).hexdigest()
        (folder / "checkpoint.pt.sha256").write_text(f"{digest}  checkpoint.pt\n")
        with suppress(CheckpointError):
            assert checkpoint.load(folder, "cpu")["step"] >= 0

    return whole, read


def configurations(tmp_path, run):
    whole = (run / "config.yaml").read_bytes()
    before = settings.read(run / "config.yaml")

    def read(content):
        path = tmp_path / "config.yaml"
        path.write_bytes(content)
        try:
            found = settings.read(path)
            trust.read(found, path, trust=False)
            settings.differences(before, found)
        except ValueError:
            return
        assert found == before or yaml.safe_load(content) != yaml.safe_load(whole)

    return whole, read


def histories(tmp_path, run):
    whole = b"".join(b'{"epoch": %d, "step": %d, "loss": 1.5}\n' % (i, 3 * i) for i in range(1, 9))

    def read(content):
        (tmp_path / "metrics.jsonl").write_bytes(content)
        with suppress(CheckpointError):
            assert all(isinstance(row["step"], int) for row in RunFolder(tmp_path).metrics())

    return whole, read


KINDS = [npy, npz, csr, idx, checkpoints, configurations, histories]


def fuzz(kind, count, tmp_path, run):
    whole, read = kind(tmp_path, run)
    rng, tried = random.Random(kind.__name__), 0
    while tried < count:
        content = changed(whole, rng)
        if content != whole:
            read(content)
            tried += 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_sample_of_changed_files(kind, tmp_path, run, armed, monkeypatch):
    monkeypatch.setenv("ELBOLAB_DATA", str(tmp_path / "cache"))
    fuzz(kind, SAMPLE, tmp_path, run)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_thousand_changed_files(kind, tmp_path, run, armed, monkeypatch):
    assert ALL * len(KINDS) >= 1000
    monkeypatch.setenv("ELBOLAB_DATA", str(tmp_path / "cache"))
    fuzz(kind, ALL, tmp_path, run)
