"""Every test starts from the same state and leaves none behind."""

import os
from pathlib import Path

import numpy as np
import pyro
import pytest
import torch

from model import MLP


@pytest.fixture(autouse=True)
def clean_state():
    pyro.clear_param_store()
    pyro.enable_validation(True)
    pyro.set_rng_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def one_store():
    """Pyro as it is until it is told otherwise, as `training` does: the parameters of modules are in its store."""
    with pyro.settings.context(module_local_params=False):
        yield


@pytest.fixture
def undrawn():
    """Runs are judged without their pictures, which take nine tenths of the time; others look at these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.pictures.draw", lambda *_: None)
        yield


@pytest.fixture
def one_thread():
    """How a product is split among threads may change with the load, and with it the rounding."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pytest_addoption(parser):
    parser.addoption(
        "--programs", type=int, default=100, help="random programs that the slow suite tries estimators on"
    )
    parser.addoption("--seed", type=int, default=0, help="of the first of these programs")


def pytest_collection_modifyitems(items):
    folder = os.environ.get("ELBOLAB_DATA", "")
    for item in items:
        if item.get_closest_marker("cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
        if item.get_closest_marker("data") and not (Path(folder) / "mnist").is_dir():
            item.add_marker(pytest.mark.skip(reason="ELBOLAB_DATA names no folder with data sets"))


@pytest.fixture
def network():
    return MLP(16)


@pytest.fixture
def small(tmp_path):
    """Options of a run that takes a moment: 96 binary data of 2 x 3 pixels, half of them to test."""
    rng = np.random.default_rng(0)
    bits = (rng.random((96, 2, 3)) < 0.3).astype(np.float32)
    path = tmp_path / "bits.npz"
    np.savez(path, train=bits[:48], test=bits[48:], test_labels=np.arange(48) % 3)
    return f"--data Arrays --data.path {path} --data.binarize no --latent 2 --hidden 8 --batch_size 20".split()
