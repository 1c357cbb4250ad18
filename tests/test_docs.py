"""What README and docs say can be run is run: commands on little data, Python, quoted output; links lead somewhere."""

import re
import shlex
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import evaluate
import train
from compare.__main__ import main as compare
from compare.speed import command as speed
from elbolab.__main__ import main as elbolab
from elbolab.auditing.kinds import Kind
from training.catalogue import NAMED

ROOT = Path(__file__).parent.parent
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))}
README = PAGES["README.md"]
WHOLE = "\n".join(PAGES.values())
COMMANDS = list(
    dict.fromkeys(
        line.partition("#")[0].strip()
        for block in re.findall(r"```bash\n(.*?)```", WHOLE, re.DOTALL)
        for line in block.splitlines()
        if line.strip()
    )
)
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


@pytest.mark.usefixtures("undrawn")
def test_resuming_and_judging_commands(tmp_path, monkeypatch):
    options = ["--hidden", "8", "--beta", "4", "--data.validation", "0.2", "--out", str(tmp_path / "run")]
    assert train.main([*options, "--epochs", "1"]) == 0
    resumed = [c for c in COMMANDS if "--resume" in c]
    judged = [c for c in COMMANDS if c.startswith("python evaluate.py")]
    assert resumed
    assert judged
    for command in resumed:
        assert train.main([*in_little(shlex.split(command)[2:], tmp_path), "--epochs", "2"]) == 0
    np.save(tmp_path / "x.npy", np.zeros((3, 8, 8), np.float32))
    monkeypatch.chdir(tmp_path)
    several = "python evaluate.py compare"
    for command in sorted(judged, key=lambda command: command.startswith(several)):
        if command.startswith(several):
            assert evaluate.main(["compare", str(tmp_path / "run"), *shlex.split(command)[4:]]) == 0
            continue
        words = shlex.split(command)[3:]
        little = [] if {"encode", "reconstruct", "sample", "export"} & set(words) else ["--samples", "2"]
        assert evaluate.main([str(tmp_path / "run"), *words, *little]) == 0


def test_every_command_is_one_that_is_tested_or_the_tests_themselves():
    known = ("python train.py", "python evaluate.py", "make train", "make test", "python -m pytest")
    known += ("python -m compare gradients", "python -m compare speed", "torchrun --nproc_per_node 2 train.py")
    assert all(command.startswith(known) for command in COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python -m compare gradients")])
def test_studies_of_gradients(command, tmp_path, monkeypatch):
    monkeypatch.setattr("compare.gradients.command._draw", lambda *_: [])  # test_gradients.py looks at the pictures
    little = ["--replicates", "4", "--steps", "3", "--points", "end", "--out", str(tmp_path)]
    arguments = [re.sub(r"^100,300,.*", "100,300", word) for word in shlex.split(command)[4:]]
    if "--estimators" not in arguments and arguments:  # without any options: all estimators, once
        discrete = "Bernoulli" in arguments
        little += ["--estimators", "RLOO,DisARM,REBAR" if discrete else "Trace_ELBO,DReG,RLOO"]
    assert compare(["gradients", *arguments, *little]) == 0
    assert (tmp_path / "gradients.csv").exists()


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python -m compare speed")])
def test_options_of_speed(command, tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "_measured", lambda network, setting, rounds: [timing(network, setting.batch)])
    monkeypatch.setattr(speed, "IMAGE", (4, 4))
    assert compare(["speed", *shlex.split(command)[4:], "--out", str(tmp_path)]) == 0
    assert (tmp_path / "speed.json").exists()


def timing(network, batch):
    rest = {"milliseconds": 1.0, "ratio": 1.0, "ratio_low": 1.0, "ratio_high": 1.0}
    return speed.Timing(network=network, batch=batch, contender="NumPyro", **rest)


def test_the_quoted_speeds_are_those_of_the_note():
    note = (ROOT / "benchmarks/2026-11-25.md").read_text()
    measured = [float(n) for n in re.findall(r" (\d+\.\d\d) ", note)]
    page = PAGES["docs/benchmarks.md"]
    blocks = [page[page.index("| Pyro, `SVI.step`") : page.index("| the matrix products alone")]]
    blocks.append(re.search(r"^\| Pyro, `SVI.step` .*?\n\n", README, re.MULTILINE | re.DOTALL)[0])
    for number in re.findall(r"\| (\d[\d.]*)(?= \|)", "\n".join(blocks)):
        assert any(abs(n - float(number)) <= 0.006 * float(number) for n in measured), number


def test_the_names_are_those_that_exist():
    listed = defaultdict(list)
    for option, names in re.findall(
        r"^\| `--(\w+)`[^|]* \| ([^|]+) \|$", PAGES["docs/reference/command-line.md"], re.MULTILINE
    ):
        listed[option] += names.replace(",", " ").split()
    assert listed.keys() == NAMED.keys()
    for option, names in listed.items():
        assert sorted(names) == sorted(cls.__name__ for cls in NAMED[option])


def test_the_make_targets_exist_and_do_what_is_said():
    assert re.search(r"^train:", MAKEFILE, re.MULTILINE)
    assert re.search(r"^test:", MAKEFILE, re.MULTILINE)
    assert "train.py --epochs 500 --out runs/digits" in MAKEFILE


BLOCKS = {name: re.findall(r"```python\n(.*?)```", page, re.DOTALL) for name, page in PAGES.items()}
PYTHON = [(name, "\n".join(blocks)) for name, blocks in BLOCKS.items() if blocks]  # a page's blocks are one program


@pytest.mark.parametrize(("name", "code"), PYTHON, ids=[name for name, _ in PYTHON])
def test_the_python_runs(name, code, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.chdir(tmp_path)
    if "runs/digits" in code:
        assert train.main(["--epochs", "1", "--latent", "4", "--hidden", "8", "--out", "runs/digits"]) == 0
    exec(compile(code, name, "exec"), {})


def test_a_verdict_of_every_kind_is_on_the_page():
    page = PAGES["docs/reference/verdicts.md"].replace("\\|", "|")
    for kind in Kind:
        meaning, advice = kind.meaning, kind.advice
        assert f"| `{kind}` | {meaning} | {advice} |" in page


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    for name in PAGES.keys() - {"README.md"}:
        assert name.removeprefix("docs/") in navigation


def claims(text):
    """What is claimed and whether it holds; the numbers' last digits depend on the machine."""
    return re.findall(r"^ *(\S[^|]*?) +-?[\d.e+]+ \| (.*?) +-?[\d.e+]+ +\w+.*?(holds|FAILS)", text, re.MULTILINE)


def exact(text):
    """The numbers on both sides of the rows that are equalities."""
    return [float(n) for pair in re.findall(r" (-?[\d.]+) \| .*? (-?[\d.]+)  relative", text) for n in pair]


def test_the_quoted_chain_is_what_is_printed(capsys):
    assert compare(["losses"]) == 0
    printed = capsys.readouterr().out
    page = PAGES["docs/explanation/losses.md"]
    assert len(claims(printed)) > 35
    assert claims(page) == claims(printed)
    assert exact(page) == pytest.approx(exact(printed), rel=1e-4)
    front = re.search(r"## Is BCE.*?```\n(.*?)```", README, re.DOTALL)[1]
    answer = re.search(r"```\n(.*?)```", PAGES["docs/explanation/why-bce-plus-kl.md"], re.DOTALL)[1]
    quoted = [*front.splitlines(), *answer.splitlines()]
    lines = [line.strip() for line in page.splitlines()]
    assert quoted
    assert [line for line in quoted if line not in lines] == []


def test_the_quoted_audits_are_what_is_printed(capsys):
    found = re.findall(r"^\$ elbolab (audit .*)\n((?:[^$`].*\n)+)", WHOLE, re.MULTILINE)
    assert len(found) >= 3
    for command, quoted in found:
        elbolab(shlex.split(command))
        assert capsys.readouterr().out == quoted


def test_the_quoted_theorems_are_what_is_printed(capsys):
    assert compare(["prove"]) == 0
    printed = [line.strip() for line in capsys.readouterr().out.splitlines()]
    page = PAGES["docs/explanation/why-bce-plus-kl.md"]
    quoted = re.search(r"## Proved.*?```\n(.*?)```", page, re.DOTALL)[1].splitlines()
    assert len(quoted) > 8
    assert [line for line in quoted if line.strip() not in printed] == []


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#]+)\)", PAGES[name]):
        assert target.startswith("http") or ((ROOT / name).parent / target).exists(), target


def test_the_front_door_is_short():
    assert len(README.splitlines()) <= 125
