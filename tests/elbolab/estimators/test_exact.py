"""What holds for every draw: equalities with Pyro's objectives and between estimators, zeros at the posterior."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO

from elbolab.estimators.joint_sampling import Antithetic
from elbolab.estimators.multisample import CIWAE, IWAE, MIWAE, PIWAE, DReG, IWAEStickingTheLanding
from elbolab.estimators.pathwise import Pathwise, PathwiseAnalyticKL, StickingTheLanding
from elbolab.estimators.score import NVIL, REINFORCE, RLOO, VIMCO, MovingAverage, log_mean
from elbolab.estimators.wake import WakePhi, WakePhiDReG
from elbolab.oracles import LinearGaussian, NormalNormal
from tests.elbolab.example_programs import Chain, DeepGuide, DeepModel, ScoreNormal

TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}


def evaluate(elbo, model, guide, x, seed=3):
    """The loss and every gradient by name."""
    objective = elbo(model, guide)
    if isinstance(elbo, NVIL):
        objective(x)  # tells the network its input's size
    objective.zero_grad()
    pyro.set_rng_seed(seed)
    loss = objective(x)
    loss.backward()
    names = {name: p.grad for name, p in objective.named_parameters() if not name.startswith("elbo.")}
    return {"loss": loss.detach()} | {n: torch.zeros(()) if g is None else g.clone() for n, g in names.items()}


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], msg=lambda m, name=name: f"{name}: {m}", **TOLERANCE)


@pytest.fixture
def x():
    return torch.randn(4, 3, dtype=torch.float64)


SETTINGS = {
    "plain": {},
    "beta": {"beta": 2.5},
    "subsample": {"size": 9, "subsample": torch.tensor([0, 3, 4, 8])},
    "both": {"size": 9, "subsample": torch.tensor([0, 3, 4, 8]), "beta": 0.3},
}


@pytest.mark.parametrize("particles", [1, 4])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    ("ours", "pyros", "normal"),
    [
        (Pathwise, Trace_ELBO, dist.Normal),
        (PathwiseAnalyticKL, TraceMeanField_ELBO, dist.Normal),
        (MovingAverage, Trace_ELBO, ScoreNormal),  # at its first step there is no average yet
    ],
)
def test_pyros_objectives(ours, pyros, normal, setting, particles, x):
    """Two latents, one given the other, a plate inside a datum: value and every gradient, from the same noise."""
    model, guide = (cls(normal, **SETTINGS[setting]) for cls in (DeepModel, DeepGuide))
    options = {"num_particles": particles, "max_plate_nesting": 2, "vectorize_particles": True}
    expected = evaluate(pyros(**options), model, guide, x)
    same(evaluate(ours(**options), model, guide, x), expected)
    assert all(gradient.abs().max() > 0.01 for gradient in expected.values()), "there is something to compare"


@pytest.mark.parametrize("elbo", [IWAE(4), DReG(4), PIWAE(2), VIMCO(4), WakePhi(4)], ids=lambda e: type(e).__name__)
def test_a_subsample_stands_for_all_data_outside_the_logarithm(elbo, x):
    few, all_there_is = ((DeepModel(**s), DeepGuide(**s)) for s in (SETTINGS["subsample"], {}))
    expected = evaluate(elbo, *all_there_is, x)
    same(evaluate(elbo, *few, x), {name: 9 / 4 * value for name, value in expected.items()})


ORACLES = {"normal": NormalNormal, "linear": LinearGaussian, "chain": Chain, "scaled chain": lambda: Chain((0.3, 2.0))}


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (IWAE(1), Pathwise(1)),
        (IWAEStickingTheLanding(1), StickingTheLanding(1)),
        (CIWAE(4, beta=1), Pathwise(4)),
        (CIWAE(4, beta=0), IWAE(4)),
        (MIWAE(4, batches=1), IWAE(4)),
        (MIWAE(1, batches=4), Pathwise(4)),
        (PIWAE(4, batches=1), IWAE(4)),
    ],
    ids=lambda elbo: f"{type(elbo).__name__}{elbo.particles}",
)
def test_one_is_the_other(one, other, oracle):
    known = ORACLES[oracle]()
    same(evaluate(one.eval(), known.model, known.guide, known.x), evaluate(other, known.model, known.guide, known.x))


def test_a_single_latent_can_influence_everything():
    known = LinearGaussian()
    first, local = (evaluate(elbo, known.model, known.guide, known.x) for elbo in (MovingAverage(3), REINFORCE(3)))
    same(first, local)


def test_a_moving_average_is_of_the_steps_before_and_starts_from_none():
    elbo, steps = MovingAverage(decay=0.9), (10.0, 4.0, 7.0)
    found = [elbo.baseline(torch.full((1, 3), signal), None)[0].item() for signal in steps]
    assert found == pytest.approx([0, 10, (0.09 * 10 + 0.1 * 4) / 0.19])


@pytest.mark.parametrize("particles", [4, 5])
def test_antithetic_partners_are_mirrored_in_units_of_their_own_scale(particles):
    """Where q depends on an earlier latent, the particles' means and scales differ."""
    mean, scale = torch.randn(particles, 2, 3).double(), torch.rand(particles, 2, 3).double() + 0.5
    triangle = torch.diag_embed(scale) + torch.rand(particles, 2, 3, 3).double().tril(-1)
    normal, full = dist.Normal(mean, scale).to_event(1), dist.MultivariateNormal(mean, scale_tril=triangle)
    for q, unit in ((normal, torch.diag_embed(scale)), (full, triangle)):
        away = Antithetic(particles).together(q) - mean
        noise = torch.linalg.solve(unit, away[..., None])[..., 0]
        assert len(noise) == particles
        torch.testing.assert_close(noise[:2], -noise[2:4], **TOLERANCE)


@pytest.mark.parametrize("oracle", ["normal", "linear", "chain"])
def test_dreg_with_one_particle_sticks_the_landing(oracle):
    known = ORACLES[oracle]()
    expected = evaluate(StickingTheLanding(1), known.model, known.guide, known.x)
    same(evaluate(DReG(1), known.model, known.guide, known.x), expected)


def model_part(gradients):
    return {name: g for name, g in gradients.items() if name.startswith(("model.", "loss"))}


@pytest.mark.parametrize("elbo", [DReG(4), IWAEStickingTheLanding(4), VIMCO(4), WakePhi(4), WakePhiDReG(4)])
@pytest.mark.parametrize("oracle", ORACLES)
def test_the_model_ascends_the_bound_itself(elbo, oracle):
    known = ORACLES[oracle]()
    expected = evaluate(IWAE(4), known.model, known.guide, known.x)
    same(model_part(evaluate(elbo, known.model, known.guide, known.x)), model_part(expected))


def test_piwae_has_the_models_gradient_of_one_bound_and_the_guides_of_the_other():
    known = Chain()
    found, tight, loose = (
        evaluate(e, known.model, known.guide, known.x) for e in (PIWAE(3, batches=4), IWAE(12), MIWAE(3, batches=4))
    )
    same(found, loose | model_part(tight))


@pytest.mark.parametrize("elbo", [StickingTheLanding(1), StickingTheLanding(5), DReG(1), DReG(5), WakePhiDReG(5)])
def test_no_gradient_is_left_at_the_exact_posterior(elbo):
    known = NormalNormal(exact=True)
    guide = {n: g for n, g in evaluate(elbo, known.model, known.guide, known.x).items() if n.startswith("guide.")}
    assert max(gradient.abs().max() for gradient in guide.values()) < 1e-13
    known.guide.offset.data += 0.01
    beside = evaluate(elbo, known.model, known.guide, known.x)["guide.offset"]
    assert elbo.particles == 1 or beside.abs() > 1e-4, "beside it there is"


@pytest.mark.parametrize("elbo", [IWAE(1), IWAE(7), DReG(7), MIWAE(3), VIMCO(3), WakePhi(3), Pathwise(3)])
def test_every_bound_is_the_evidence_there(elbo):
    known = NormalNormal(exact=True)
    loss = evaluate(elbo, known.model, known.guide, known.x)["loss"]
    torch.testing.assert_close(-loss, known.log_evidence().sum().detach(), **TOLERANCE)


def test_score_functions_by_their_formulas():
    known = NormalNormal()
    pyro.set_rng_seed(3)
    draw = VIMCO(3).draw(known.model, known.guide, (known.x,), {})
    log_weight, log_q = draw.log_weight().detach(), draw.log_q()
    guide = tuple(known.guide.parameters())

    def gradient(weights):
        return torch.autograd.grad(-(weights * log_q).sum(), guide, retain_graph=True)

    mean = log_weight.mean(0)
    found = evaluate(RLOO(3), known.model, known.guide, known.x)
    for g, name in zip(gradient((log_weight - mean) / 2), ("slope", "offset", "log_scale"), strict=True):
        torch.testing.assert_close(found[f"guide.{name}"], g, **TOLERANCE)
    signal = torch.empty_like(log_weight)
    for k in range(3):
        others = [log_weight[j] for j in range(3) if j != k]
        signal[k] = log_mean(log_weight) - log_mean(torch.stack([*others, sum(others) / 2]))
    found = evaluate(VIMCO(3), known.model, known.guide, known.x)
    for g, name in zip(gradient(signal - log_weight.softmax(0)), ("slope", "offset", "log_scale"), strict=True):
        torch.testing.assert_close(found[f"guide.{name}"], g, **TOLERANCE)


class Counting(torch.nn.Module):
    def __init__(self, program):
        super().__init__()
        self.program, self.count = program, 0

    def forward(self, x):
        self.count += 1
        self.program(x)


@pytest.mark.parametrize(
    ("elbo", "runs"),
    [(DReG(4), 1), (IWAE(4), 1), (StickingTheLanding(4), 1), (WakePhiDReG(4), 1), (WakePhi(4), 1), (PIWAE(4), 2)]
    + [(REINFORCE(4), 1), (RLOO(4), 1), (NVIL(4), 1), (VIMCO(4), 1)],
    ids=lambda v: type(v).__name__,
)
def test_how_often_the_decoder_runs(elbo, runs):
    known = NormalNormal()
    model = Counting(known.model)
    evaluate(elbo, model, known.guide, known.x)
    model.count = 0
    elbo(model, known.guide)(known.x).backward()
    assert model.count == runs


def test_baselines_learn():
    """A signal far from 0: the moving average follows it, the network what it leaves over, datum by datum."""
    known = NormalNormal()
    elbo = NVIL(64, decay=0.5, hidden=16)
    objective = elbo(known.model, known.guide)
    objective(known.x)
    trained = torch.optim.Adam(elbo.parameters(), lr=0.02)
    for _ in range(300):
        trained.zero_grad()
        objective(known.x).backward()
        trained.step()
    draw = elbo.draw(known.model, known.guide, (known.x,), {})
    learnt, _ = elbo.baseline(draw.log_weight().detach(), draw)
    assert (learnt - known.elbo()).abs().max() < 0.6
    assert (known.elbo()[0] - known.elbo()[1]).abs() > 2, "one number for both would not do"
    before = elbo.average.clone(), elbo.weight.clone()
    elbo.loss(known.model, known.guide, known.x)
    assert (elbo.average, elbo.weight) == before, "an evaluation is not a step"


def test_normalising_divides_what_multiplies_the_score():
    known = NormalNormal()
    elbo = NVIL(8, normalize=True)
    plain = evaluate(elbo.eval(), known.model, known.guide, known.x)
    elbo.variance.fill_(4.0)
    elbo.weight.fill_(1.0)
    small = evaluate(elbo.eval(), known.model, known.guide, known.x)
    for name in ("slope", "offset", "log_scale"):
        torch.testing.assert_close(small[f"guide.{name}"] * 2, plain[f"guide.{name}"], **TOLERANCE)
    same(model_part(small), model_part(plain))


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (RLOO, {"num_particles": 1}, "RLOO needs at least 2"),
        (VIMCO, {"num_particles": 1}, "VIMCO needs at least 2"),
        (WakePhi, {"num_particles": 1}, "WakePhi needs at least 2"),
        (CIWAE, {"beta": 1.5}, "beta = 1.5"),
        (MIWAE, {"batches": 0}, "batches = 0"),
        (MovingAverage, {"decay": 1.0}, "decay = 1.0"),
    ],
)
def test_what_makes_no_sense_is_refused(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls(**options)


def test_a_dependent_draw_bounds_something_else():
    assert IWAE(5).bound == DReG(5).bound == VIMCO(5).bound == IWAEStickingTheLanding(5).bound == "IWAE-5"
    assert IWAE(1).bound == DReG(1).bound == Pathwise(4, sampling="sobol").bound == "ELBO"
    assert IWAE(5, sampling="antithetic").bound == "IWAE-5 antithetic"
    with pytest.raises(NotImplementedError, match="IWAE-5 sobol is not known"):
        IWAE(5, sampling="sobol").targets(NormalNormal())
