"""Every part that `--list` names has its place in the reference: formula, options, an example that runs."""

import importlib
import inspect
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train
from data.fetch import cached
from training.catalogue import ELBOS, NAMED

REFERENCE = Path(__file__).parent.parent / "docs/reference"
OPTIONS = {
    "priors": ("prior",),
    "likelihoods": ("likelihood",),
    "guides": ("guide",),
    "networks": ("network",),
    "estimators": ("elbo",),
    "data": ("data",),
    "training-parts": ("annealing", "log", "optimizer", "schedule"),
}
PAGES = {name: (REFERENCE / f"{name}.md").read_text() for name in OPTIONS}
PARTS = [(page, part, cls) for page, parts in OPTIONS.items() for part in parts for cls in NAMED[part]]
TORCH = ("optimizer", "schedule")  # whose pages are PyTorch's
EXAMPLES = [command for page in PAGES.values() for command in re.findall(r"^Example: `(.*)`$", page, re.MULTILINE)]
DOWNLOADED = {"MNIST": "mnist", "FashionMNIST": "fashion_mnist", "BinarizedMNIST": "binarized_mnist"}


def section(page, part, cls):
    text = PAGES[page]
    if len(OPTIONS[page]) > 1:
        text = re.search(rf"^## --{part}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]
    found = re.search(rf"^###? {cls.__name__}\n(.*?)(?=^###? |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{page}.md says nothing of {part} {cls.__name__}"
    return found[1]


def test_every_option_that_names_parts_has_a_page():
    assert {part for parts in OPTIONS.values() for part in parts} == NAMED.keys()
    assert len(EXAMPLES) == len(PARTS)


@pytest.mark.parametrize(("page", "part", "cls"), PARTS, ids=[f"{part}-{cls.__name__}" for _, part, cls in PARTS])
def test_every_part_has_its_place(page, part, cls):
    text = section(page, part, cls)
    name = (
        {"TensorBoard": "tensorboard", "CSV": "csv"}.get(cls.__name__, cls.__name__) if part == "log" else cls.__name__
    )
    assert f"--{part} {name}" in re.search(r"^Example: `python train.py (.*)`$", text, re.MULTILINE)[1]
    if part in TORCH or cls in ELBOS:
        assert "](https://docs.py" in text
        return
    module, _, found = re.search(r"^::: (\S+)$", text, re.MULTILINE)[1].rpartition(".")
    assert getattr(importlib.import_module(module), found) is cls
    assert len((inspect.getdoc(cls) or "").splitlines()[0]) > 10


@pytest.mark.parametrize("cls", [cls for _, part, cls in PARTS if part not in TORCH and cls not in ELBOS])
def test_every_option_of_a_part_is_described(cls):
    """What a constructor takes by name; what it hands on is described where it is handed to."""
    told = f"{inspect.getdoc(cls.__init__) or ''}\n{inspect.getdoc(cls) or ''}"
    given = [p.name for p in inspect.signature(cls.__init__).parameters.values() if p.kind is p.KEYWORD_ONLY]
    inherited = "".join(f"{base.__doc__} {base.__init__.__doc__}" for base in cls.__mro__[1:-1])
    missing = [name for name in given if not re.search(rf"\b{name}\b", told + inherited)]
    assert not missing


@pytest.mark.slow
@pytest.mark.parametrize("command", EXAMPLES)
def test_the_examples_run(command, tmp_path, monkeypatch):
    if "Newsgroups" in command:
        pytest.skip("downloads; the source is tested on an archive of the same form")
    for name, folder in DOWNLOADED.items():
        if f"--data {name}" in command and not cached(folder).is_dir():
            pytest.skip(f"{name} is not at hand")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("counts.npy", rng.poisson(3.0, (60, 6)))
    rows = [f"{a:.3f},{b:.3f},{'even' if i % 2 else 'odd'}" for i, (a, b) in enumerate(rng.normal(size=(40, 2)))]
    Path("table.csv").write_text("\n".join(["a,b,kind", *rows]) + "\n")
    Path("photos").mkdir()
    for number in range(20):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(f"photos/{number:02d}.png")
    assert train.main([*shlex.split(command)[2:], "--epochs", "1", "--hidden", "8", "--out", "run"]) == 0
