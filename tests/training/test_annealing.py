"""The KL's weight along training."""

import pytest

from tests.test_train import metrics, refused, run, same, state
from training import compiled_step
from training.annealing import Cyclical, Linear, chosen


def shares(annealing, steps, per_epoch):
    return [annealing.share(step, per_epoch) for step in range(steps)]


def test_linear_rises_in_even_steps_and_stays():
    assert shares(Linear(epochs=2), 6, 2) == [0.25, 0.5, 0.75, 1, 1, 1]


def test_cycles_rise_over_their_share_and_start_again():
    assert shares(Cyclical(epochs=2, ratio=0.5), 10, 4) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 0.25, 0.5]


def test_cycles_are_those_of_the_paper_one_step_on():
    """Its weight at t is f(mod(t - 1, T/M) / (T/M)), f(x) = min(1, x / R), which is 0 at a cycle's first step."""
    cycles, length, ratio = 4, 20, 0.4
    paper = [min(1.0, ((t - 1) % length) / length / ratio) for t in range(1, cycles * length + 1)]
    ours = shares(Cyclical(epochs=5, cycles=cycles, ratio=ratio), cycles * length, 4)
    assert ours[:-1] == pytest.approx([p if i % length else 1 for i, p in enumerate(paper)][1:])


def test_after_the_last_cycle_the_weight_stays():
    assert shares(Cyclical(epochs=1, cycles=2, ratio=1.0), 6, 2) == [0.5, 1, 0.5, 1, 1, 1]


@pytest.mark.parametrize("annealing", [Linear(epochs=3), Cyclical(epochs=3, ratio=0.01)])
def test_the_weight_is_never_nothing(annealing):
    assert all(0 < share <= 1 for share in shares(annealing, 1000, 7))


def test_the_warm_up_is_the_linear_class():
    assert chosen(None, 0) is None
    assert shares(chosen(None, 3), 9, 2) == shares(Linear(epochs=3), 9, 2)


def test_a_run_is_weighted_as_it_says_and_short_and_long_are_the_same_run(small, tmp_path):
    long = ["--annealing", "Linear", "--annealing.epochs", 2]
    for name, options in (("long", long), ("short", ["--beta_warmup", 2])):
        assert run(*small, *options, "--beta", 3, "--epochs", 3, "--out", tmp_path / name) == 0
    assert [row["beta"] for row in metrics(tmp_path / "long")] == [1.5, 3, 3]
    assert same(state(tmp_path / "long"), state(tmp_path / "short"))


def test_cycles_go_on_where_they_were(small, tmp_path):
    options = [*small, "--annealing", "Cyclical", "--annealing.epochs", 2, "--annealing.ratio", 1]
    assert run(*options, "--epochs", 4, "--out", tmp_path / "straight") == 0
    assert [row["beta"] for row in metrics(tmp_path / "straight")] == pytest.approx([0.5, 1, 0.5, 1])
    assert run(*options, "--epochs", 1, "--out", tmp_path / "two") == 0
    assert run("--out", tmp_path / "two", "--resume", "--epochs", 4) == 0
    assert same(state(tmp_path / "two"), state(tmp_path / "straight"))


def test_a_compiled_step_is_compiled_once_and_weighs_as_the_eager_one(small, tmp_path, monkeypatch):
    graphs = []
    monkeypatch.setattr(compiled_step, "compile_graph", lambda graph, inputs: graphs.append(graph) or graph)
    cycles = ["--annealing", "Cyclical", "--annealing.epochs", 2, "--precision", "float64"]
    for how in ("on", "off"):
        assert run(*small, *cycles, "--compile", how, "--epochs", 4, "--out", tmp_path / how) == 0
    assert len(graphs) == 1
    for one, other in zip(metrics(tmp_path / "on"), metrics(tmp_path / "off"), strict=True):
        assert one.pop("kl") == pytest.approx(other.pop("kl"), rel=1e-9)
        assert one == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--annealing", "Linear", "--annealing.epochs", 0], "epochs = 0: over how many"),
        (["--annealing", "Cyclical", "--annealing.cycles", 0], "cycles = 0"),
        (["--annealing", "Cyclical", "--annealing.ratio", 0], "ratio = 0"),
        (["--annealing", "Cyclical", "--annealing.ratio", 1.5], "ratio = 1.5"),
        (["--annealing", "Linear", "--beta_warmup", 3], "give one of the two"),
        (["--annealing", "Cyclic"], "did you mean Cyclical?"),
    ],
)
def test_what_is_no_annealing_is_refused(small, tmp_path, capsys, arguments, message):
    code, said = refused(capsys, *small, *arguments, "--out", tmp_path / "run")
    assert code == 2
    assert message in said
