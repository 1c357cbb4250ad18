"""The half hour of a new user, command by command as it is written."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import evaluate
import train

PAGE = (Path(__file__).parent.parent / "docs/tutorials/my-own-images.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
PROGRAMS = {"train.py": train.main, "evaluate.py": evaluate.main}


def test_every_command_is_one_of_the_two_programs():
    assert len(COMMANDS) == 14
    assert {shlex.split(command)[1] for command in COMMANDS} == PROGRAMS.keys()


@pytest.mark.slow
def test_the_half_hour(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELBOLAB_DATA", str(tmp_path / "cache"))
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(blocks[0], {})
    for command in COMMANDS:
        _, program, *arguments = shlex.split(command)
        assert PROGRAMS[program](arguments) == 0, command
    assert (tmp_path / "runs/photos/checkpoint.best.pt").exists()
    assert np.load("runs/photos/codes.npz")["codes"].shape == (768, 8)
    assert np.load("runs/photos/samples.npz")["samples"].shape == (64, 3, 16, 16)
    capsys.readouterr()
    exec("\n".join(blocks), {})
    assert capsys.readouterr().out.count("nats") == 5
    lines = Path("table.csv").read_text().splitlines()
    assert len(lines) == 3, "a row for each setting"
    assert all("seed-2" in line for line in lines[1:])
