"""The loop: which data come when, what is judged by which draws, what stops it; and programs that know two modes."""

import os
import signal
import threading

import numpy as np
import pyro
import pytest
import torch
from torch import nn

import evaluate
import train
from data import Arrays, Digits
from elbolab.networks import Network
from training import Experiment, Interrupted, Interrupts, Processes, RunFolder, State, judgement, room
from training.order import fewest, order, steps_per_epoch
from training.resuming import compiled

CPU = torch.device("cpu")


def test_the_order_of_the_data_is_another_in_every_epoch_and_for_every_seed():
    first, again, epoch, seed = (order(*key, 50, CPU).tolist() for key in ((0, 0), (0, 0), (0, 1), (1, 0)))
    assert first == again
    assert sorted(first) == sorted(epoch) == sorted(seed) == list(range(50))
    assert first != epoch
    assert first != seed
    assert epoch != seed


def test_the_last_small_batch_counts_unless_there_are_fewer_data_than_processes():
    one, two = Processes(), Processes()
    two.world = 2
    assert [steps_per_epoch(count, 20, one) for count in (40, 41, 48, 5)] == [2, 3, 3, 1]
    assert [steps_per_epoch(count, 20, two) for count in (40, 41, 42)] == [2, 2, 3]
    assert [fewest(count, 20, one) for count in (40, 41, 48, 5)] == [20, 1, 8, 5]
    assert [fewest(count, 20, two) for count in (40, 41, 42, 5)] == [10, 10, 1, 2]


@pytest.fixture
def lab():
    return Experiment(data=Digits(), latent=2, hidden=8, device="cpu")


def test_the_test_set_is_judged_by_the_same_draws_and_disturbs_none(lab):
    torch.manual_seed(5)
    first = judgement.scores(lab)
    following = torch.rand(3)
    torch.manual_seed(6)
    assert judgement.scores(lab) == first
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), following)


def test_a_gradient_that_is_not_finite_stops_a_loss_that_is():
    part = nn.Linear(2, 1)
    state = State(part, torch.optim.SGD(part.parameters(), lr=0.1), CPU, Processes())
    before = part.weight.detach().clone()
    loss = (part.weight * 0).sqrt().sum()
    assert loss.isfinite()
    assert not state.advance(loss, 1, float("inf"))
    assert torch.equal(part.weight, before)
    assert state.step == 0
    assert state.advance(part.weight.sum(), 1, float("inf"))
    assert state.step == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_answered_at_once_outside_the_loop_and_after_the_step_in_it(number, capsys):
    before = signal.getsignal(number)
    with Interrupts() as interrupts:
        with pytest.raises(SystemExit) as stopped:
            signal.raise_signal(number)
        assert stopped.value.code == 128 + number
        with interrupts.patiently():
            signal.raise_signal(number)
            assert interrupts.received == number
            assert interrupts.exit_code == 128 + number
            assert "saving after this step" in capsys.readouterr().err
            with pytest.raises(SystemExit) as stopped:
                signal.raise_signal(number)
            assert stopped.value.code == 128 + number
    assert signal.getsignal(number) == before


def test_a_signal_breaks_off_what_changes_nothing():
    with Interrupts() as interrupts, interrupts.patiently(), interrupts.at_once(), pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGTERM)
    assert interrupts.received == signal.SIGTERM


def test_a_signal_during_compilation_is_answered_at_once_with_all_saved(lab, tmp_path):
    class Slow:
        def compile(self, index):
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
            threading.Event().wait(60)

    optimizer = torch.optim.Adam(lab.objective.parameters())
    state = State(lab.objective, optimizer, CPU, Processes())
    state.step = 7
    with Interrupts() as interrupts, interrupts.patiently():
        assert not compiled(Slow(), torch.arange(2), state, RunFolder(tmp_path), interrupts)
    assert lab.take.__self__ is lab
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 7


def test_the_data_per_step_are_part_of_the_run(small, tmp_path, capsys):
    assert train.main([*small, "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    with pytest.raises(SystemExit) as stopped:
        train.main(["--out", str(tmp_path / "run"), "--resume", "--epochs", "2", "--batch_size", "10"])
    assert stopped.value.code == 5
    assert "batch_size was 20, is 10" in capsys.readouterr().err


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(("value", "message"), [(0.5, "these hold 0.5"), (np.nan, "data hold values that")])
def test_every_split_is_looked_at(tmp_path, split, value, message):
    parts = {"train": np.zeros((20, 4)), "test": np.zeros((20, 4))}
    parts[split][-1, -1] = value
    np.savez(tmp_path / "x.npz", **parts)
    with pytest.raises(Exception, match=message):
        Experiment(data=Arrays(tmp_path / "x.npz"), latent=2, hidden=4, device="cpu")


def test_labels_stay_with_their_data(tmp_path):
    rows = np.arange(60.0).reshape(30, 2)
    np.savez(tmp_path / "x.npz", train=rows, train_labels=rows[:, 0])
    found = Arrays(tmp_path / "x.npz", holdout=0.3).splits()
    assert np.array_equal(found.test[:, 0], found.test_labels)
    assert np.array_equal(found.train[:, 0], found.train_labels)
    assert len(found.test) == 9


class Moody(Network):
    """An encoder and a decoder that know whether they are trained: dropout, and a batch's own mean and variance."""

    def __init__(self, hidden=8):
        pass

    def encoder(self, shape, features):
        return nn.Sequential(nn.Flatten(-len(shape)), nn.Dropout(0.5), nn.Linear(6, features), nn.BatchNorm1d(features))

    def decoder(self, latent, shape):
        return nn.Sequential(nn.Linear(latent, 6), nn.Dropout(0.5), nn.Unflatten(-1, tuple(shape)))


@pytest.mark.usefixtures("undrawn")
def test_networks_that_know_two_modes_are_trained_in_one_and_judged_in_the_other(small, tmp_path, monkeypatch):
    run, modes = tmp_path / "run", {"trained": set(), "judged": set()}
    original = judgement.evidence

    def judged(model, guide, *arguments, **options):
        modes["judged"].add((model.training, guide.training))
        return original(model, guide, *arguments, **options)

    def stepped(self, index, original=train.Steps.__call__):
        modes["trained"].add(self.state.objective.training)
        return original(self, index)

    monkeypatch.setattr(judgement, "evidence", judged)
    monkeypatch.setattr(evaluate, "evidence", judged)
    monkeypatch.setattr(train.Steps, "__call__", stepped)
    options = [*small, "--network", f"{__name__}.Moody", "--elbo", "Trace_ELBO", "--epochs", "2", "--compile", "off"]
    assert train.main([*options, "--out", str(run)]) == 0
    assert evaluate.main([str(run), "--samples", "2", "--trust-code"]) == 0
    assert modes == {"trained": {True}, "judged": {(False, False)}}
    lab = Experiment.load(RunFolder(run), trust=True)
    lab.objective.eval()
    pyro.enable_validation(False)
    x = lab.dataset.test[:3]
    means = [lab.guide.posterior(x).mean for _ in range(2)]
    assert torch.equal(*means), "no dropout where it is judged"
    assert torch.allclose(lab.guide.posterior(x[:1]).mean, means[0][:1]), "a datum's code does not depend on others"


def test_a_batch_of_one_datum_is_refused_where_networks_do_not_train_on_it(small, tmp_path, capsys):
    """48 data: 47 leave one, which has no variance of its own for batch normalisation; 46 leave two."""
    moody = ["--network", f"{__name__}.Moody", "--elbo", "Trace_ELBO", "--epochs", "1"]
    for options in ([*moody, "--batch_size", "47"], [*moody, "--batch_size", "1"]):
        with pytest.raises(SystemExit) as stopped:
            train.main([*small, *options, "--out", str(tmp_path / "run")])
        assert stopped.value.code == 2
        said = capsys.readouterr().err
        assert "batch_size leaves a batch of one datum" in said
        assert "Expected more than 1 value per channel" in said
        assert len(said.splitlines()) == 1
        assert not (tmp_path / "run").exists()
    assert train.main([*small, *moody, "--batch_size", "46", "--out", str(tmp_path / "run")]) == 0
    assert train.main([*small, "--epochs", "1", "--batch_size", "47", "--out", str(tmp_path / "other")]) == 0


def test_the_memory_of_a_step_is_an_upper_bound(lab):
    """Half of what is there is too little, twice it is enough: the bound follows the batch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "free", lambda *_: 10**6)
        with pytest.raises(ValueError, match=r"batch_size = (\d+) would fit") as refused:
            room.check_step(lab.objective, lab.first_data, 10**5, CPU)
        fits = int(str(refused.value).split("batch_size = ")[1].split()[0])
        room.check_step(lab.objective, lab.first_data, fits, CPU)
        with pytest.raises(ValueError, match="would fit"):
            room.check_step(lab.objective, lab.first_data, fits + 1, CPU)
