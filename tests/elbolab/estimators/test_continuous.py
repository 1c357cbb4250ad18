"""Estimators for continuous latents against exact gradients: 100,000 draws of every coordinate, a z-score each."""

import math
from functools import cache

import pytest
import torch

from elbolab.estimators import multisample, pathwise, score, wake
from elbolab.estimators.base import Estimator, concrete
from elbolab.estimators.joint_sampling import Antithetic
from elbolab.estimators.multisample import CIWAE, IWAE, MIWAE, PIWAE, DReG, IWAEStickingTheLanding
from elbolab.estimators.pathwise import Pathwise, PathwiseAnalyticKL, StickingTheLanding
from elbolab.estimators.renyi import VRDReG
from elbolab.estimators.score import NVIL, REINFORCE, RLOO, VIMCO, MovingAverage
from elbolab.estimators.wake import WakePhi, WakePhiDReG
from elbolab.graph.replicate import replicate
from elbolab.oracles import LinearGaussian, NormalNormal, SignalToNoise
from elbolab.oracles.quadrature import normal_nodes
from tests.elbolab.example_programs import Chain
from tests.elbolab.replicates import PARTS, part
from tests.elbolab.replicates import _loop as loop
from tests.elbolab.statistics import exact_gradients, worst

ORACLES = {
    "normal": NormalNormal,
    "linear": lambda: _remembering(LinearGaussian(3, 2)),
    "noise": lambda: SignalToNoise(5, batch=4),
    "chain": lambda: _remembering(Chain()),  # two layers
    "scaled": lambda: _remembering(Chain((0.3, 2.0))),  # a beta that is taken for a part of q's density would be seen
}
REPEATS = 60
COPIES = {"normal": 1700, "linear": 850, "noise": 425, "chain": 1700, "scaled": 1700}  # 1,700 draws at once and more
UNBIASED = {
    "Pathwise": Pathwise,
    "Pathwise sobol": lambda: Pathwise(4, sampling="sobol"),
    "Pathwise antithetic": lambda: Pathwise(3, sampling="antithetic"),
    "PathwiseAnalyticKL": PathwiseAnalyticKL,
    "StickingTheLanding": StickingTheLanding,
    "REINFORCE": lambda: REINFORCE(2),
    "MovingAverage": lambda: MovingAverage(2),
    "NVIL": lambda: NVIL(2),
    "RLOO": lambda: RLOO(3),
    "VIMCO": lambda: VIMCO(3),
    "IWAE": lambda: IWAE(3),
    "CIWAE": lambda: CIWAE(3, beta=0.3),
    "MIWAE": lambda: MIWAE(2, batches=2),
    "PIWAE": lambda: PIWAE(2, batches=2),
    "DReG": lambda: DReG(3),
}
BIASED = {
    "IWAEStickingTheLanding": lambda: IWAEStickingTheLanding(3),
    "WakePhi": lambda: WakePhi(3),
    "WakePhiDReG": lambda: WakePhiDReG(3),
}


@cache
def _bound(oracle, particles):
    return type(oracle).iwae(oracle, particles)


def _remembering(oracle):
    """An integral that takes a second is taken once."""
    oracle.iwae = lambda particles: _bound(oracle, particles)
    return oracle


@cache
def known(name):
    return ORACLES[name]()


def gradients(estimator, oracle, copies, draw=loop, repeats=REPEATS):
    """Losses and gradients of `copies` copies of the data, and the exact ones, by name."""
    objective = estimator(oracle.model, oracle.guide)
    x = oracle.x.repeat(copies, *[1] * (oracle.x.dim() - 1))
    objective(x)  # validated, and what is lazy learns its size
    losses, draws = draw(objective, x, repeats)
    targets = [-copies * target.sum() for target in estimator.targets(oracle)]
    exact = {"loss": targets[0].detach()}
    for which, target in zip(PARTS, targets, strict=True):
        found = exact_gradients(lambda target=target: target, getattr(oracle, which))
        exact |= {f"{which}.{name}": gradient for name, gradient in found.items()}
    draws["loss"] = losses
    return {name: draws[name] for name in exact}, exact


def drawn(name, estimator, **options):
    return gradients(estimator, known(name), COPIES[name], **options)


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("name", UNBIASED)
def test_unbiased(name, oracle):
    estimator = UNBIASED[name]()
    assert estimator.unbiased
    draws, exact = drawn(oracle, estimator)
    found, bound = worst(draws, exact)
    assert found < bound
    if oracle == "normal":
        for which in ("loss", *PARTS):
            wrong = {n: 1.05 * value for n, value in part(exact, which).items()}
            found, bound = worst(part(draws, which), wrong)
            assert found > bound, f"a bias of 5 % of the {which} has to be seen"


@pytest.mark.parametrize("name", ["DReG", "PIWAE", "NVIL"])
def test_unbiased_when_captured(name):
    """What is special about them: a gradient reweighed on its way back, a second run, parameters of their own."""
    draws, exact = drawn("chain", UNBIASED[name](), draw=replicate)
    found, bound = worst(draws, exact)
    assert found < bound


@pytest.mark.parametrize(
    ("name", "oracle"),
    [(name, oracle) for name in BIASED for oracle in ("normal", "linear", "noise")]
    + [("IWAEStickingTheLanding", "chain")],  # whose posterior, which the others are after, is not written down
)
def test_biased_for_the_guide_alone(name, oracle):
    estimator = BIASED[name]()
    assert not estimator.unbiased
    draws, exact = drawn(oracle, estimator)
    for which in ("loss", "model"):
        found, bound = worst(part(draws, which), part(exact, which))
        assert found < bound
    found, bound = worst(part(draws, "guide"), part(exact, "guide"))
    assert found > bound


def pairs(oracle):
    """Two particles of NormalNormal on a grid: latents, log-weights and what a node stands for."""
    nodes, log_measure = normal_nodes(150, 2)
    both = [oracle.log_weight(nodes[:, [k]]) for k in (0, 1)]
    q = oracle.guide.posterior(oracle.x)
    return [(q.mean + q.stddev * nodes[:, [k]]).detach() for k in (0, 1)], torch.stack(both), log_measure.exp()[:, None]


@pytest.mark.parametrize("cls", [WakePhi, WakePhiDReG])
def test_the_wake_gradient_of_two_particles_is_what_it_should_be_bias_included(cls):
    """E[sum_k w~_k d log q(z_k)] by quadrature: both forms have this expectation, neither that of the target."""
    oracle = NormalNormal()
    draws, exact = gradients(cls(2), oracle, COPIES["normal"])
    z, log_weight, measure = pairs(oracle)
    weight = (measure * log_weight.softmax(0)).detach()
    q = oracle.guide.posterior(oracle.x)
    expected = exact_gradients(
        lambda: -COPIES["normal"] * sum((weight[k] * q.log_prob(z[k])).sum() for k in (0, 1)), oracle.guide
    )
    expected = part(exact, "model") | {f"guide.{name}": value for name, value in expected.items()}
    found, bound = worst({name: draws[name] for name in expected}, expected)
    assert found < bound
    guide = part(expected, "guide")
    found, bound = worst({name: draws[name] for name in guide}, {name: 1.05 * value for name, value in guide.items()})
    assert found > bound


def test_more_particles_less_bias():
    oracle, bias = NormalNormal(exact=True), []
    oracle.guide.offset.data += 0.4
    for count in (2, 8, 32):
        draws, exact = gradients(WakePhiDReG(count), oracle, 500)
        bias.append((draws["guide.offset"].mean() / exact["guide.offset"] - 1).abs().item())
    assert bias[0] > 2 * bias[1] > 4 * bias[2]


def test_antithetic_pairs_have_a_bound_of_their_own(monkeypatch):
    """E[log 1/2 (w(e) + w(-e))], an integral over one e."""
    oracle = NormalNormal()

    def pair():
        nodes, log_measure = normal_nodes(200)
        both = torch.logaddexp(oracle.log_weight(nodes), oracle.log_weight(-nodes)) - math.log(2)
        return (log_measure.exp()[:, None] * both).sum(0)

    monkeypatch.setattr(IWAE, "targets", lambda self, known: (pair(), pair()))
    draws, exact = gradients(IWAE(2, sampling="antithetic"), oracle, COPIES["normal"])
    found, bound = worst(draws, exact)
    assert found < bound
    monkeypatch.undo()
    _, other = gradients(IWAE(2), oracle, COPIES["normal"], repeats=1)
    found, bound = worst(draws, other)
    assert found > bound, "it is not that of independent particles"


class PairedDReG(DReG):
    def sampler(self):
        return Antithetic(self.particles)


@pytest.mark.parametrize("cls", [DReG, WakePhi, WakePhiDReG, VRDReG, VIMCO])
def test_particles_that_are_drawn_together_are_refused_where_they_would_be_wrong(cls):
    with pytest.raises(ValueError, match=rf"{cls.__name__} is for independent particles.*draw them so: CIWAE, .*IWAE"):
        cls(4, sampling="antithetic")
    assert cls(4, sampling="independent").num_particles == 4


def test_the_doubly_reparameterised_gradient_of_pairs_would_be_wrong():
    oracle = NormalNormal()
    both = (elbo(oracle.model, oracle.guide) for elbo in (PairedDReG(2), IWAE(2, sampling="antithetic")))
    slopes = [replicate(objective, oracle.x, 4000)[1]["guide.slope"].flatten() for objective in both]
    error = sum(slope.var() / len(slope) for slope in slopes).sqrt()
    assert (slopes[0].mean() - slopes[1].mean()).abs() > 6 * error


def _all_in_place(log_weight):
    own = torch.eye(len(log_weight), dtype=torch.bool)[..., None]
    return torch.where(own, log_weight.mean(0), log_weight)


WRONG = {
    "DReG once": (multisample.Reweighed, "times", lambda self, name, gradient: gradient),
    "DReG with its score": (multisample, "detached", lambda values: values),
    "DReG with beta in the density": (multisample.Draw, "log_density", lambda self, values: self.log_q(values)),
    "RLOO and itself": (RLOO, "centred", lambda self, f: f - f.mean(0)),
    "VIMCO and itself": (score, "others_in_place", _all_in_place),
    "NVIL that learns on the model": (NVIL, "baseline", lambda self, f, draw: (f[:1] * 0, draw.log_p()[0])),
    "PIWAE with a path": (multisample.Draw, "log_model", lambda self: self.log_p()),
    "REINFORCE and a path": (score.DetachedDraws, "_pyro_post_sample", lambda self, msg: None),
    "StickingTheLanding with no guide": (pathwise, "detached", lambda values: values),
    "Pathwise of one density": (multisample.Draw, "log_q", lambda self, *a: torch.zeros(())),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_seen(mistake, monkeypatch):
    owner, attribute, wrong = WRONG[mistake]
    monkeypatch.setattr(owner, attribute, wrong)
    found, bound = worst(*drawn("scaled" if "beta" in mistake else "normal", UNBIASED[mistake.split()[0]]()))
    assert found > bound


def test_every_class_of_these_modules_is_tested():
    modules = {module.__name__ for module in (multisample, pathwise, score, wake)}
    classes = {cls for cls in concrete(Estimator) if cls.__module__ in modules}
    assert {cls.__name__ for cls in classes} == {name.split()[0] for name in UNBIASED | BIASED}
