"""A study gives the numbers of a plain loop and of known moments; bias is caught; the command writes it all."""

import csv
import json
import math

import pytest
import torch
from pyro.infer import Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import train
from compare.__main__ import main
from elbolab import study
from elbolab.estimators.antithetic import DisARM
from elbolab.estimators.control_variates import MuProp
from elbolab.estimators.multisample import IWAE, PIWAE, DReG, IWAEStickingTheLanding
from elbolab.estimators.pathwise import Pathwise, StickingTheLanding
from elbolab.estimators.score import NVIL, REINFORCE, RLOO, MovingAverage
from elbolab.oracles import Bits, LinearGaussian, NormalNormal, SignalToNoise
from elbolab.studying.moments import Moments, worst_score
from elbolab.studying.named_estimators import estimators_by_name, named
from elbolab.studying.replicated_objective import ReplicatedObjective
from elbolab.studying.snr_slopes import slopes

aten = torch.ops.aten


class Given(TorchDispatchMode):
    """Normal draws are these, one after the other."""

    def __init__(self, draws):
        super().__init__()
        self.draws = iter(draws)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in (aten.normal_.default, aten.randn.default):
            drawn = next(self.draws)
            return args[0].copy_(drawn) if func is aten.normal_.default else drawn
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "elbo", [Trace_ELBO(), StickingTheLanding(2), DReG(2), RLOO(2)], ids=lambda e: type(e).__name__
)
def test_replicates_are_a_plain_loop_over_the_same_draws(elbo):
    oracle, count = LinearGaussian(), 12
    subject = ReplicatedObjective("", elbo, oracle.model, oracle.guide, oracle.x)
    torch.manual_seed(3)
    chunks = list(subject.draws(count, memory=2**13))
    assert len(chunks) > 1
    moments = Moments()
    for _, gradients in chunks:
        moments.add(gradients)

    torch.manual_seed(3)
    shape = (*(() if elbo.num_particles == 1 else (elbo.num_particles,)), len(oracle.x), 3)
    noise = [e for loss, _ in chunks for e in torch.randn(len(loss), *shape, dtype=torch.float64)]
    found = []
    objective = elbo(oracle.model, oracle.guide)
    objective(oracle.x)  # looks at the programs
    for e in noise:
        objective.zero_grad()
        with Given([e]):
            (objective(oracle.x) / len(oracle.x)).backward()
        found.append({name: p.grad.clone() for name, p in objective.named_parameters()})
    assert set(moments.names) == set(found[0])
    for name in moments.names:
        plain = torch.stack([gradients[name] for gradients in found])
        torch.testing.assert_close(torch.cat([g[name] for _, g in chunks]), plain, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(moments.mean(name), plain.mean(0), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(moments.variance(name), plain.var(0), rtol=1e-12, atol=1e-12)


class Made(Trace_ELBO):
    """An estimator whose gradient is MEAN + DEVIATION e, e normal."""

    def differentiable_loss(self, model, guide, x):
        noise = torch.randn(3, dtype=torch.float64)
        return len(x) * ((MEAN + DEVIATION * noise) * guide.p).sum()


MEAN = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
DEVIATION = torch.tensor([1.0, 4.0, 0.0], dtype=torch.float64)


class Parameters(nn.Module):
    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.ones(3, dtype=torch.float64))

    def forward(self, x):
        return None


class Told:
    """What is known of Made, or said to be."""

    def __init__(self, guide, factor=1.0):
        self.guide, self.factor = guide, factor

    def elbo(self):
        return (-self.factor * MEAN * self.guide.p).sum().expand(4)


@pytest.mark.parametrize("known", [False, True])
def test_known_moments_come_out(known):
    guide, count = Parameters(), 20000
    told = Told(guide) if known else None
    (row,) = study(Parameters(), guide, torch.zeros(4), {"made": Made()}, replicates=count, known=told)
    assert row.variance == row.variance_guide == pytest.approx(17, rel=5 * math.sqrt(2 / count))
    assert row.variance_model == 0
    assert row.snr_guide == pytest.approx((2 / 1 + 1 / 4) / 2, rel=0.05)  # of the two that vary
    assert math.isnan(row.snr_model)
    assert row.value == pytest.approx(-1.5, abs=5 * row.value_error)
    assert row.value_error == pytest.approx(math.sqrt(17 / count), rel=0.05)
    assert row.variance_milliseconds == row.variance * row.milliseconds
    assert (row.how, row.replicates, row.coordinates, row.evaluations) == ("vmap", count, 6, 0)
    assert row.coordinate == "guide.p[0]"
    assert row.draws.shape == (count,)
    assert row.draws.mean() == pytest.approx(2, abs=0.05)
    assert (row.reference, row.biased) == (("exact", False) if known else ("-", None))


def test_a_planted_bias_is_caught():
    guide = Parameters()
    (row,) = study(Parameters(), guide, torch.zeros(4), {"made": Made()}, replicates=20000, known=Told(guide, 1.05))
    assert row.biased
    assert math.isinf(row.bias_z)  # of a coordinate that does not vary


class Off(DReG):
    """A twentieth too much."""

    def estimate(self, draw):
        bound, surrogate = super().estimate(draw)
        return bound, 1.05 * surrogate


@pytest.mark.parametrize("exact", [True, False])
def test_biased_estimators_are_caught_and_others_are_not(exact):
    oracle = NormalNormal()
    objectives = {"IWAE": IWAE(4), "DReG": DReG(4), "STL": IWAEStickingTheLanding(4), "off": Off(4)}
    known = oracle if exact else None
    if not exact:
        del objectives["off"]  # it says that it is unbiased, and would be taken for a reference
    rows = study(oracle.model, oracle.guide, oracle.x, objectives, replicates=50000, known=known)
    biased = {row.label: row.biased for row in rows}
    assert not biased["IWAE"]
    assert not biased["DReG"]
    assert biased["STL"]
    assert biased.get("off", True)
    assert {row.reference for row in rows} == ({"exact"} if exact else {"DReG", "IWAE"})


def test_two_means_are_compared_with_both_errors():
    a, b = Moments(), Moments()
    a.add({"p": torch.tensor([0.0, 2.0, 4.0]).double()})
    b.add({"p": torch.tensor([1.0, 1.0]).double()})
    b.add({"p": torch.tensor([4.0, 6.0]).double()})
    score, _ = worst_score(a, b)
    assert score == pytest.approx(1 / math.sqrt(4 / 3 + 6 / 4))


BITS = {
    REINFORCE(): 1,
    RLOO(3): 3,
    MuProp(3): 4,
    DisARM(2): 4,
    Trace_ELBO(num_particles=3): 3,
    Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1): 3,
    TraceGraph_ELBO(num_particles=2): 2,
}


@pytest.mark.parametrize(("elbo", "evaluations"), BITS.items(), ids=lambda value: type(value).__name__)
def test_decoder_evaluations_are_counted(elbo, evaluations):
    oracle = Bits()
    assert ReplicatedObjective("", elbo, oracle.model, oracle.guide, oracle.x).evaluations == evaluations


def test_every_draw_of_several_bounds_is_counted():
    oracle = NormalNormal()
    assert ReplicatedObjective("", PIWAE(2, batches=3), oracle.model, oracle.guide, oracle.x).evaluations == 12


def test_what_an_estimator_learns_is_warmed_up_and_nothing_else_moves():
    oracle = LinearGaussian()
    given = {"NVIL": NVIL(2, hidden=4), "average": MovingAverage(2), "plain": REINFORCE(2)}
    states = {name: {k: v.clone() for k, v in given["average"].state_dict().items()} for name in ("average",)}
    before = [p.clone() for p in (*oracle.model.parameters(), *oracle.guide.parameters())]
    rows = {r.label: r for r in study(oracle.model, oracle.guide, oracle.x, given, replicates=500)}
    assert [rows[name].warm_up for name in given] == [300, 300, 0]
    assert rows["average"].variance < rows["plain"].variance
    assert len({row.coordinates for row in rows.values()}) == 1  # the baseline's parameters are not counted
    assert given["NVIL"].network[0].has_uninitialized_params()
    torch.testing.assert_close(given["average"].state_dict(), states["average"])
    for now, then in zip((*oracle.model.parameters(), *oracle.guide.parameters()), before, strict=True):
        assert torch.equal(now, then)
        assert now.grad is None


def test_what_cannot_be_captured_is_drawn_in_a_loop():
    oracle = LinearGaussian()
    objectives = {"graph": TraceGraph_ELBO(), "trace": Trace_ELBO()}
    graph, plain = study(oracle.model, oracle.guide, oracle.x, objectives, replicates=300, known=oracle)
    assert (graph.how, graph.replicates, plain.how, plain.replicates) == ("loop", 200, "vmap", 300)
    assert not graph.biased
    assert graph.variance == pytest.approx(plain.variance, rel=0.5)
    assert set(graph.as_dict()) == set(plain.as_dict())
    assert "draws" not in graph.as_dict()


def test_a_study_refuses_what_would_mean_nothing():
    oracle = Bits()
    with pytest.raises(ValueError, match="StickingTheLanding serves latents whose draws carry gradients"):
        study(oracle.model, oracle.guide, oracle.x, {"STL": StickingTheLanding()})
    with pytest.raises(ValueError, match="on its KL alone"):
        study(oracle.model, oracle.guide, oracle.x, {"analytic": TraceMeanField_ELBO()})
    with pytest.raises(ValueError, match="two at least"):
        study(oracle.model, oracle.guide, oracle.x, {"score": REINFORCE()}, replicates=1)
    with pytest.raises(ValueError, match="one objective at least"):
        study(oracle.model, oracle.guide, oracle.x, {})


def test_signal_to_noise_goes_with_the_root_of_the_particles():
    oracle = SignalToNoise(batch=2)
    objectives = {f"{cls.__name__} K={k}": cls(k) for cls in (IWAE, DReG) for k in (30, 100, 300)}
    rows = study(oracle.model, oracle.guide, oracle.x, objectives, replicates=200, known=oracle)
    assert {row.signal for row in rows} == {"exact"}
    found = {(slope.estimator, slope.group): slope for slope in slopes(rows)}
    assert found["IWAE", "model"].slope == pytest.approx(0.5, abs=0.03)
    assert found["IWAE", "guide"].slope == pytest.approx(-0.5, abs=0.03)
    assert found["DReG", "model"].slope == pytest.approx(0.5, abs=0.03)
    assert found["DReG", "guide"].slope == pytest.approx(0.5, abs=0.08)  # not there yet at K = 30
    assert all(0 < slope.error < 0.03 for slope in found.values())


def test_estimators_are_named_with_their_options():
    found, skipped = named("Pathwise:sampling=antithetic,RLOO", [1, 4])
    assert list(found) == ["Pathwise sampling=antithetic K=4", "RLOO K=4"]
    assert isinstance(found["Pathwise sampling=antithetic K=4"], Pathwise)
    assert found["Pathwise sampling=antithetic K=4"].sampling == "antithetic"
    assert skipped == ["Pathwise:sampling=antithetic takes 2 particles at least", "RLOO takes 2 particles at least"]
    assert {"Trace_ELBO", "TraceGraph_ELBO", "RELAX", "WakePhi"} <= set(estimators_by_name())
    assert not any(name.startswith("_") for name in estimators_by_name())


def written(out, *, training, more=True):
    """The numbers, having looked that the pictures are those of several points and several K, or of one."""
    names = ["variance-cost", "histogram", *["variance-training"] * training, *["snr"] * more]
    pictures = {f"{name}.{ending}" for name in names for ending in ("png", "svg")}
    assert {path.name for path in out.iterdir()} == pictures | {"gradients.csv", "gradients.json"}
    rows = json.loads((out / "gradients.json").read_text())["rows"]
    with (out / "gradients.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["label"] for row in table] == [row["label"] for row in rows]
    assert float(table[0]["variance"]) == rows[0]["variance"]
    return rows


@pytest.fixture
def little(small):
    """A study that takes a moment."""
    return ["gradients", *small[:-2], "--steps", "4", "--batch", "4", "--replicates", "20", "--particles", "1,2"]


def test_command(little, tmp_path, capsys):
    estimators = "TraceMeanField_ELBO,RLOO,IWAEStickingTheLanding"
    assert main([*little, "--estimators", estimators, "--points", "2,end", "--out", str(tmp_path / "out")]) == 0
    rows = written(tmp_path / "out", training=True)
    assert len(rows) == 2 * 5
    assert {row["point"] for row in rows} == {"step 2", "end (step 4)"}
    told = capsys.readouterr().out
    assert "RLOO takes 2 particles at least" in told
    assert "at equal decoder evaluations" in told
    assert "at equal time" in told
    assert "times faster" in told
    assert max(map(len, told.splitlines()[:-1])) <= 120


def test_command_on_bits(little, tmp_path, capsys):
    parts = [
        "--prior",
        "Bernoulli",
        "--guide",
        "Bernoulli",
        "--points",
        "end",
        "--particles",
        "1",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*little, *parts, "--estimators", "DisARM,NVIL,Enumeration"]) == 0
    rows = {row["label"]: row for row in written(tmp_path / "out", training=False, more=False)}
    assert rows["Enumeration K=1"]["variance"] < 1e-10
    assert "Trained on these data for 300 steps first: what NVIL learns itself." in capsys.readouterr().out


def test_command_on_a_run(small, tmp_path, capsys):
    run, out = str(tmp_path / "run"), str(tmp_path / "out")
    assert train.main([*small, "--out", run, "--epochs", "1"]) == 0
    options = ["--batch", "4", "--replicates", "20", "--estimators", "Pathwise", "--out", out]
    assert main(["gradients", run, *options]) == 0
    assert [row["point"] for row in written(tmp_path / "out", training=True)][::2] == ["start (step 0)", "end (step 3)"]
    capsys.readouterr()


def test_command_on_an_oracle(tmp_path, capsys):
    options = ["--oracle", "NormalNormal", "--estimators", "DReG", "--particles", "1,2,4", "--replicates", "50"]
    assert main(["gradients", *options, "--out", str(tmp_path / "out")]) == 0
    assert {row["reference"] for row in written(tmp_path / "out", training=False)} == {"exact"}
    fitted = json.loads((tmp_path / "out" / "gradients.json").read_text())["slopes"]
    assert {(slope["estimator"], slope["group"]) for slope in fitted} >= {("DReG", "guide")}
    assert "log10 signal-to-noise ratio per decade of K" in capsys.readouterr().out


WRONG = {
    "--estimators IWAY": "there are Trace_ELBO",
    "--estimators DReG:samplings=sobol": "DReG does not take samplings",
    "--estimators DReG:sampling": "written name=value",
    "--estimators Pathwise:sampling=mirrored": "independent, antithetic, sobol",
    "--estimators DisARM": "DisARM serves Bernoulli latents, and the guide's z is Normal. Estimators for it: ",
    "--estimators RLOO --particles 1": "RLOO takes 2 particles at least",
    "--oracle Nothing": "there are Bits",
    "--points start,ending": "start, middle, end or a step from 0 to 4",
    "--points 5": "start, middle, end or a step from 0 to 4",
    "--particles 0": "positive whole numbers",
    "--replicates 1": "replicates at least 2",
    "--partikles 1": "did you mean --particles?",
    "nowhere": "nowhere holds no run",
}


@pytest.mark.parametrize("options", WRONG)
def test_wrong_options_are_refused(options, little, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main([*little, *options.split(), "--out", str(tmp_path / "out")])
    assert left.value.code == 2
    assert WRONG[options] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
