"""What the README says can be run is run: its commands on little data, its Python, its quoted output."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import evaluate
import train
from compare.__main__ import main as compare
from tests.compare.audit_zoo import ZOO
from training.catalogue import CHOICES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
MAKEFILE = (ROOT / "Makefile").read_text()


def in_little(arguments, tmp_path):
    """The same options with the embedded data, one epoch and a folder of the test's own."""
    little = [str(tmp_path / "run") if word.startswith("runs/") else word for word in arguments]
    if "MNIST" in little:
        little[little.index("MNIST")] = "Digits"
    if "--data.path" in little:
        words = scipy.sparse.csr_matrix(np.random.default_rng(0).poisson(0.5, (40, 12)))
        scipy.sparse.save_npz(tmp_path / "words.npz", words)
        little[little.index("--data.path") + 1] = str(tmp_path / "words.npz")
        return [*little, "--batch_size", "16"]
    return [*little, "--data", "Digits"]


TRAINING = [c for c in COMMANDS if c.startswith("python train.py") and not re.search("--resume|--list", c)]


@pytest.mark.parametrize("command", TRAINING)
def test_training_commands(command, tmp_path):
    arguments = in_little(shlex.split(command)[2:], tmp_path)
    assert train.main([*arguments, "--epochs", "1", "--out", str(tmp_path / "run")]) == 0


def test_resuming_and_judging_commands(tmp_path):
    options = ["--hidden", "8", "--beta", "4", "--out", str(tmp_path / "run")]
    assert train.main([*options, "--epochs", "1"]) == 0
    resumed = [c for c in COMMANDS if "--resume" in c]
    judged = [c for c in COMMANDS if c.startswith("python evaluate.py")]
    assert resumed
    assert judged
    for command in resumed:
        assert train.main([*in_little(shlex.split(command)[2:], tmp_path), "--epochs", "2"]) == 0
    for command in judged:
        assert evaluate.main([str(tmp_path / "run"), *shlex.split(command)[3:], "--samples", "2"]) == 0


def test_every_command_is_one_that_is_tested_or_the_tests_themselves():
    known = ("python train.py", "python evaluate.py", "make train", "make test", "python -m pytest")
    assert all(command.startswith(known) for command in COMMANDS)


def test_the_names_are_those_that_exist():
    for option, names in re.findall(r"^\| `--(\w+)` \| ([^|]+) \|$", README, re.MULTILINE):
        listed = re.sub(r"\(.*?\)", "", names).replace(",", " ").split()
        assert sorted(listed) == sorted(cls.__name__ for cls in CHOICES[option])


def test_the_make_targets_exist_and_do_what_is_said():
    assert re.search(r"^train:", MAKEFILE, re.MULTILINE)
    assert re.search(r"^test:", MAKEFILE, re.MULTILINE)
    assert "train.py --epochs 500 --out runs/digits" in MAKEFILE


def test_the_python_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    scope = {}
    exec(code, scope)
    import torch

    assert scope["objective"](torch.ones(3, 28, 28)).item() > 3 * 200


def claims(text):
    """What is claimed and whether it holds; the numbers' last digits depend on the machine."""
    return re.findall(r"^ *(\S[^|]*?) +-?[\d.e+]+ \| (.*?) +-?[\d.e+]+ +\w+.*?(holds|FAILS)", text, re.MULTILINE)


def exact(text):
    """The numbers on both sides of the rows that are equalities."""
    return [float(n) for pair in re.findall(r" (-?[\d.]+) \| .*? (-?[\d.]+)  relative", text) for n in pair]


def test_the_quoted_chain_is_what_is_printed(capsys):
    assert compare(["losses"]) == 0
    printed = capsys.readouterr().out
    page = (ROOT / "docs/losses.md").read_text()
    assert len(claims(printed)) > 35
    assert claims(page) == claims(printed)
    assert exact(page) == pytest.approx(exact(printed), rel=1e-4)
    quoted = re.search(r"## The answer.*?```\n(.*?)```", README, re.DOTALL)[1].splitlines()
    lines = [line.strip() for line in page.splitlines()]
    assert quoted
    assert [line for line in quoted if line not in lines] == []


def test_the_quoted_audits_are_what_is_printed(capsys):
    block = re.search(r"```\n(\$ python -m compare audit.*?)```", README, re.DOTALL)[1]
    for command, quoted in re.findall(r"^\$ python -m (compare audit .*)\n((?:[^$].*\n)+)", block, re.MULTILINE):
        compare(shlex.split(command)[1:])
        assert capsys.readouterr().out == quoted


def test_the_quoted_theorems_are_what_is_printed(capsys):
    assert compare(["prove"]) == 0
    printed = [line.strip() for line in capsys.readouterr().out.splitlines()]
    quoted = re.search(r"## Prove it.*?```\n(.*?)```", README, re.DOTALL)[1].splitlines()
    assert len(quoted) > 8
    assert [line for line in quoted if line.strip() not in printed] == []


def test_the_zoo_is_as_large_as_is_said():
    assert f"{len(ZOO)} losses written from the formulas" in " ".join(README.split())


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
