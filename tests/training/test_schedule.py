"""Schedules of the learning rate: PyTorch's, the same when resumed and when compiled, or refused before training."""

import math

import pyro
import pytest
import torch

from data import Digits
from tests.test_train import metrics, refused, run, same, state
from training import Experiment, Processes, State, checkpoint
from training import compiled_step as module
from training.catalogue import SCHEDULES
from training.compiled_step import Compiled
from training.eager_step import Eager
from training.schedule import Schedule

lr_scheduler = torch.optim.lr_scheduler
INDEX = torch.arange(16)
MADE = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [1, 3]),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, total_iters=2),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.5),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 6),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 1e-4, 1e-2, step_size_up=2),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 1e-2, total_steps=6),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 6),
}


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-3)


@pytest.mark.parametrize("name", [cls.__name__ for cls in SCHEDULES])
def test_the_options_at_every_step_are_those_that_pytorch_sets(name):
    moves = adam([torch.nn.Parameter(torch.zeros(2))])
    theirs, ours = adam([torch.nn.Parameter(torch.zeros(3))]), Schedule(adam, MADE[name], "step", total=6, per_epoch=3)
    scheduler = MADE[name](theirs)
    for step in range(6):
        ours(moves, step)
        assert {n: moves.param_groups[0][n] for n in moves.defaults} == {
            n: theirs.param_groups[0][n] for n in theirs.defaults
        }
        theirs.step()
        scheduler.step()
    assert "lr" in ours.varies


def test_by_epoch_it_changes_between_epochs_alone():
    moves, schedule = (
        adam([torch.nn.Parameter(torch.zeros(2))]),
        Schedule(adam, MADE["ExponentialLR"], "epoch", total=6, per_epoch=3),
    )
    found = []
    for step in (0, 2, 3, 5, 1):  # in any order: a resumed run needs no memory of it
        schedule(moves, step)
        found.append(moves.param_groups[0]["lr"])
    assert found == [1e-3, 1e-3, 5e-4, 5e-4, 1e-3]


def taken(step, name):
    """Losses and parameters of six steps, the first one eager, the others taken by `step`."""
    lab = Experiment(data=Digits(), latent=2, hidden=8, precision="float64")
    moves = adam(list(lab.objective.parameters()))
    schedule = Schedule(adam, MADE[name], "step", total=6, per_epoch=6)
    state = State(lab.objective, moves, lab.device, Processes())
    pyro.enable_validation(False)
    pyro.set_rng_seed(1)
    now = Eager(state, lab.dataset, math.inf)
    for i in range(6):
        schedule(moves, i)
        if i == 1:
            now = step(state, lab, schedule)
        now(INDEX + i)
    assert now.finite(look=True)
    return torch.cat([p.detach().flatten() for p in lab.objective.parameters()])


def eager(state, lab, schedule):
    return Eager(state, lab.dataset, math.inf)


def compiled(state, lab, schedule):
    return Compiled(state, lab.dataset, math.inf, INDEX, varying=schedule.varies)


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setattr(module, "compile_graph", lambda graph, examples: graph)


@pytest.mark.parametrize("name", ["ExponentialLR", "OneCycleLR"])  # the latter moves betas too
def test_the_graph_reads_the_rate(uncompiled, name):
    torch.testing.assert_close(taken(compiled, name), taken(eager, name), rtol=1e-12, atol=1e-14)


def test_a_rate_that_is_frozen_in_the_graph_is_seen(uncompiled, monkeypatch):
    monkeypatch.setattr(Compiled, "_fill", lambda self: None)
    with pytest.raises(AssertionError, match="not close"):
        torch.testing.assert_close(taken(compiled, "ExponentialLR"), taken(eager, "ExponentialLR"), rtol=1e-5, atol=0)


@pytest.mark.parametrize(("compile", "by"), [("off", "epoch"), ("on", "step")])
def test_a_scheduled_run_goes_on_bit_for_bit(uncompiled, small, tmp_path, compile, by):
    schedule = ["--schedule", "CosineAnnealingLR", "--schedule.T_max", 12, "--schedule_by", by]
    options = [*small, *schedule, "--compile", compile]
    assert run(*options, "--epochs", 4, "--out", tmp_path / "straight") == 0
    assert run(*options, "--epochs", 2, "--out", tmp_path / "longer") == 0
    assert run("--out", tmp_path / "longer", "--resume", "--epochs", 4) == 0
    assert metrics(tmp_path / "longer") == metrics(tmp_path / "straight")
    assert same(state(tmp_path / "longer"), state(tmp_path / "straight"))
    rates = [row["lr"] for row in metrics(tmp_path / "straight")]
    assert rates == sorted(set(rates), reverse=True), "the rate of every epoch's last step"
    assert checkpoint.load(tmp_path / "longer", "cpu")["optimizer"]["param_groups"][0]["lr"] == rates[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["ReduceLROnPlateau"], "ReduceLROnPlateau is not offered; there are: StepLR"),
        (["LambdaLR"], "needs --schedule.lr_lambda"),
        (["StepLR"], "needs --schedule.step_size"),
        (["StepLR", "--schedule.steps", 3], "did you mean step_size"),
        (["CosineAnnealing"], "did you mean CosineAnnealingLR"),
        (["OneCycleLR", "--schedule.max_lr", 1, "--schedule.total_steps", 3], "cannot go on after 4 of the run's 5 ep"),
        (["ExponentialLR", "--schedule.gamma", -1], "makes the learning rate -0.001 after 1 of the run's 5 epochs"),
        (["ChainedScheduler"], "cannot be made"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused_before_training(small, tmp_path, capsys, options, message):
    code, said = refused(capsys, *small, "--schedule", *options, "--epochs", 5, "--out", tmp_path / "run")
    assert code == 2
    assert message in said
    assert not (tmp_path / "run").exists()
