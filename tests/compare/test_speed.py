"""compare speed: everybody takes the same step, and what is printed is what was measured."""

import json
from importlib.metadata import version

import numpy as np
import pyro
import pytest
import torch
from pyro.infer import TraceMeanField_ELBO

from compare.__main__ import main
from compare.speed import command, contenders
from compare.speed.contenders import CONTENDERS, ByHand, CapturedByHand, EagerELBO, NumPyro, StockSVI, Workload
from compare.speed.floor import Products, seconds_for_parameters
from model import MLP, Convolutional

FAST = (EagerELBO, contenders.EagerByHand)


@pytest.fixture
def workload(monkeypatch):
    monkeypatch.setattr(command, "IMAGE", (4, 4))
    return Workload(MLP(8), command._images(6, "no", torch.device("cpu")), 6, 3, torch.device("cpu"))


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setattr("training.compiled_step.compile_graph", lambda graph, examples: graph)
    monkeypatch.setattr(torch, "compile", lambda module: module)


def weights(contender):
    """What was learned, in one vector; by the modules that a contender holds."""
    if isinstance(contender, StockSVI):
        return torch.cat([value.detach().flatten() for value in pyro.get_param_store().values()])
    return torch.cat([p.detach().flatten() for p in contender.objective.parameters()])


def test_the_hand_written_loss_is_the_programs_own(workload):
    model, guide = workload.programs()
    x = workload.dataset.batch(workload.index)
    pyro.set_rng_seed(2)
    by_hand = ByHand(model, guide)(x)
    pyro.set_rng_seed(2)
    torch.testing.assert_close(by_hand, TraceMeanField_ELBO()(model, guide)(x))


def test_all_that_are_in_pytorch_take_the_same_step(workload, uncompiled):
    chosen = [c for c in CONTENDERS if c not in (NumPyro, contenders.CapturedTrace)]
    moved = {}
    for contender in chosen:
        pyro.enable_validation(False)
        before = torch.cat([p.detach().flatten() for part in workload.programs() for p in part.parameters()])
        pyro.set_rng_seed(5)
        made = contender(workload)
        pyro.set_rng_seed(6)
        made(1)
        after = weights(made)
        assert len(after) == len(before), contender.name
        moved[contender.name] = (after.sort().values - before.sort().values).abs().max().item()
    assert all(0 < size < 0.01 for size in moved.values()), moved


def test_the_floor_is_every_product_of_the_graph(workload):
    model, guide = workload.programs()
    objective = TraceMeanField_ELBO()(model, guide)
    products = Products(objective, workload.dataset.batch(workload.index))
    # Two layers each way: four forward, four for weights, and three for what is not the data.
    assert len(products.calls) == 11
    products(2)
    assert seconds_for_parameters(objective) > 0


def test_the_command_writes_what_it_prints(workload, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "CONTENDERS", (*FAST, CapturedByHand, contenders.CapturedMeanField))
    monkeypatch.setattr("training.compiled_step.compile_graph", lambda graph, examples: graph)
    monkeypatch.setattr(command, "ROUND", 0.01)
    arguments = ["--batches", "[4, 6]", "--networks", "['784-400-20']", "--rounds", "3", "--out", str(tmp_path)]
    assert main(["speed", *arguments]) == 0
    content = json.loads((tmp_path / "speed.json").read_text())
    assert {row["batch"] for row in content["timings"]} == {4, 6}
    assert content["machine"]["torch"] == version("torch")
    ours = [row for row in content["timings"] if row["contender"] == "elbolab, TraceMeanField_ELBO"]
    assert all(row["ratio"] == 1 for row in ours)
    out = capsys.readouterr().out
    for row in content["timings"]:
        assert f"{row['milliseconds']:.2f}" in out
    assert (tmp_path / "speed.png").stat().st_size > 10_000


def test_ratios_are_taken_round_by_round():
    timing = command._timing("n", 1, "x", np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.0, 2.0]))
    assert (timing.milliseconds, timing.ratio) == (2.0, 1.0)


@pytest.mark.parametrize(("arguments", "message"), [(["--networks", "['LSTM']"], "conv-20"), (["--rounds", "1"], "3")])
def test_wrong_options_leave_with_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["speed", *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(NumPyro.missing() is not None, reason="NumPyro is not installed")
@pytest.mark.parametrize("network", [MLP(8), Convolutional(8, channels=2)], ids=["MLP", "Convolutional"])
def test_numpyro_has_the_same_networks(network, monkeypatch):
    import jax.numpy as jnp

    from compare.speed.numpyro_loop import translated

    monkeypatch.setattr(command, "IMAGE", (8, 8))
    workload = Workload(network, command._images(5, "no", torch.device("cpu")), 5, 3, torch.device("cpu"))
    model, guide = workload.programs()
    x, z = workload.dataset.train, torch.randn(5, 3)
    for module, value in ((guide.posterior.encoder, x), (model.likelihood.decoder, z)):
        parameters, function = translated(module)
        expected = module(value).detach().numpy()
        found = np.asarray(function(parameters, jnp.asarray(value.numpy())))
        np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)
