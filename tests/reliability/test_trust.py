"""A configuration of somebody else's runs nothing: what is named there is this program's own, or refused unimported."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml

import evaluate
import train
from compare.__main__ import main as compare
from training import Experiment, ExperimentParser, RunFolder, checkpoint, trust

ROOT = Path(__file__).parents[2]
PRIOR = """
from pathlib import Path
from model.priors import StandardNormal
Path({mark!r}).touch()
class P(StandardNormal):
    pass
"""


@pytest.fixture
def trained(small, tmp_path):
    assert train.main([*small, "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A working folder that is not on the path yet."""
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path / "mine"


def renamed(run, change):
    """The run with other options in its configuration and, so that nothing else is in the way, in its checkpoint."""
    settings = yaml.safe_load((run / "config.yaml").read_text())
    change(settings)
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    saved = checkpoint.load(run, "cpu")
    saved["record"]["settings"] = settings
    checkpoint.save(run, saved)


def named(module):
    return lambda settings: settings.update(prior={"class_path": f"{module}.P"})


def refused(capsys, main, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, arguments)))
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return stopped.value.code, said


COMMANDS = {
    "evaluate": lambda run: (evaluate.main, run, "--samples", 2),
    "resume": lambda run: (train.main, "--out", run, "--resume", "--epochs", 2),
    "config": lambda run: (train.main, "--config", run / "config.yaml", "--out", run.parent / "new"),
    "losses": lambda run: (compare, "losses", run),
    "gradients": lambda run: (compare, "gradients", run, "--replicates", 2),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("trusted", [False, True], ids=["plain", "trusted"])
def test_code_in_a_received_run_is_never_run(trained, elsewhere, capsys, command, trusted):
    run = elsewhere / f"received_{command}_{trusted}"
    shutil.move(trained, run)
    mark = elsewhere / "was_here"
    (run / "evil.py").write_text(PRIOR.format(mark=str(mark)))
    renamed(run, named(f"{run.name}.evil"))
    code, said = refused(capsys, *COMMANDS[command](run), *(["--trust-code"] if trusted else []))
    assert code == 2
    assert f"{run.name}.evil.P" in said
    assert ("never run" if trusted else "--trust-code") in said
    assert not mark.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(optimizer={"class_path": "subprocess.Popen", "init_args": {"args": "touch pwned"}}),
        lambda s: s.update(prior="os.system"),
        lambda s: s.update(prior={"class_path": "elsewhere_evil.P"}),
        lambda s: s["data"]["init_args"].update(path={"class_path": "elsewhere_evil.P"}),
        lambda s: s.update(network={"class_path": "elbolab.networks.MLP", "init_args": {"inputs": "elsewhere_evil.P"}}),
    ],
    ids=["Popen", "system", "module", "inside", "value"],
)
@pytest.mark.parametrize("main", ["evaluate", "resume"])
def test_nothing_is_imported_before_it_is_refused(trained, elsewhere, capsys, change, main):
    mark = elsewhere / "was_here"
    (elsewhere / "elsewhere_evil.py").write_text(PRIOR.format(mark=str(mark)))
    sys.path.append(str(elsewhere))
    renamed(trained, change)
    code, _ = refused(capsys, *COMMANDS[main](trained))
    assert code == 2
    assert not mark.exists()
    assert "elsewhere_evil" not in sys.modules
    assert not (elsewhere / "pwned").exists()


@pytest.mark.usefixtures("undrawn")
def test_a_class_of_ones_own_works_from_ones_own_folder(small, elsewhere, capsys):
    (elsewhere / "own_parts.py").write_text(PRIOR.format(mark=str(elsewhere / "was_here")))
    assert train.main([*small, "--prior", "own_parts.P", "--epochs", "1", "--out", "run"]) == 0
    code, said = refused(capsys, evaluate.main, "run", "--samples", 2)
    assert code == 2
    assert "own_parts.P" in said
    assert "--trust-code" in said
    assert evaluate.main(["run", "--samples", "2", "--trust-code"]) == 0
    assert train.main(["--out", "run", "--resume", "--epochs", "2", "--trust-code"]) == 0


def test_the_working_folder_stands_in_for_nothing(elsewhere):
    (elsewhere / "yaml.py").write_text("raise SystemExit('somebody else's')")
    (elsewhere / "own_last.py").write_text(PRIOR.format(mark=str(elsewhere / "was_here")))
    trust.command_line(["--prior", "own_last.P"])
    assert sys.path.index(str(elsewhere)) == len(sys.path) - 1


@pytest.mark.parametrize("path", ["os.system", "subprocess.Popen", "builtins.eval"])
def test_the_standard_library_has_no_parts(capsys, path):
    code, said = refused(capsys, train.main, "--prior", path)
    assert code == 2
    assert path in said


def test_every_option_that_names_a_class_is_looked_at():
    assert ExperimentParser.choices.keys() == trust.PARTS


OLD = {
    "elbo": {"class_path": "objective.TraceMeanField_ELBO"},
    "network": {"class_path": "model.MLP", "init_args": {"activation": "tanh"}},
}


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ("objective.DReG", "elbolab.DReG"),
        ("model.MLP", "elbolab.networks.MLP"),
        ("model.networks.Convolutional", "elbolab.networks.Convolutional"),
        ("model.priors.Mixture", "model.priors.Mixture"),
    ],
)
def test_class_paths_of_earlier_versions_are_found(old, now):
    assert trust.renamed({"x": [{"class_path": old}]}) == {"x": [{"class_path": now}]}


def test_a_run_of_an_earlier_version_is_judged_and_goes_on(small, tmp_path):
    """Its options name objective.X and model.MLP, and no later ones; its checkpoint has no history, options or data."""
    run = tmp_path / "run"
    options = ["--elbo", "IWAE", "--elbo.num_particles", "2", "--network", "MLP", "--network.activation", "tanh"]
    assert train.main([*small, *options, "--epochs", "1", "--out", str(run)]) == 0
    saved = checkpoint.load(run, "cpu")
    for name in ("history", "record", "untrained"):
        del saved[name]
    checkpoint.save(run, saved)
    text = (run / "config.yaml").read_text()
    for now, old in (("elbolab.networks.MLP", "model.MLP"), ("elbolab.estimators.IWAE", "objective.IWAE")):
        text = text.replace(now, old)
    text = text.replace("elbolab.IWAE", "objective.IWAE")
    assert "model.MLP" in text
    assert "objective.IWAE" in text
    old = yaml.safe_load(text)
    del old["patience"], old["data"]["init_args"]["validation"]
    (run / "config.yaml").write_text(yaml.safe_dump(old))
    lab = Experiment.load(RunFolder(run))
    assert type(lab.elbo).__name__ == "IWAE"
    assert train.main(["--out", str(run), "--resume", "--epochs", "2"]) == 0
    assert [row["epoch"] for row in RunFolder(run).metrics()] == [1, 2]
