"""What tests of a trained run share."""

import pytest

import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    options = ["--data", "Digits", "--latent", "3", "--hidden", "16", "--epochs", "2", "--out", str(path / "run")]
    assert train.main(options) == 0
    return path / "run"
