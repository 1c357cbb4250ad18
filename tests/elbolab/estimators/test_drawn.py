"""100,000 draws of every coordinate of an estimator's gradient against the exact one, and 5 % off are seen."""

from functools import cache

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from elbolab.estimators import copula, coupled, hierarchical, renyi
from elbolab.estimators.antithetic import DisARM
from elbolab.estimators.copula import ARMS
from elbolab.estimators.coupled import DisARMIW, DisARMSB, DisARMTree
from elbolab.estimators.hierarchical import GDReG
from elbolab.estimators.multisample import DReG
from elbolab.estimators.multisample_score import OVIS, OVISMonteCarlo, VIMCOStar
from elbolab.estimators.renyi import CUBO, VRIWAE, VRDReG
from elbolab.estimators.score import RLOO
from elbolab.estimators.stein import RODEO, DoubleCV
from elbolab.oracles import Bits, Codes, LinearGaussian, NormalNormal, OneBit, SignalToNoise
from tests.elbolab.example_programs import Chain
from tests.elbolab.replicates import PARTS, gradients, part, variance
from tests.elbolab.replicates import _loop as loop
from tests.elbolab.statistics import exact_gradients, worst


def learnt(estimator, strengths):
    estimator.double().strengths.data = torch.tensor(strengths).double()
    return estimator


CODED = {
    "DoubleCV": (lambda: DoubleCV(2, strength=-0.6).double(), ("bits", "codes")),
    "RODEO": (lambda: learnt(RODEO(2), [0.5, -0.3]), ("bits", "codes")),
    "ARMS of 2": (lambda: ARMS(2), ("bits", "one")),
    "ARMS": (lambda: ARMS(4), ("bits", "one")),
    "DisARMSB": (DisARMSB, ("codes", "five")),
    "DisARMTree": (DisARMTree, ("codes", "five")),
    "DisARMIW": (DisARMIW, ("codes", "five")),
    "DisARMSB of 3": (lambda: DisARMSB(3), ("codes",)),
    "VIMCOStar": (lambda: VIMCOStar(3), ("bits", "codes")),
    "VIMCOStar at alpha": (lambda: VIMCOStar(3, alpha=0.4), ("bits",)),
    "OVISMonteCarlo": (lambda: OVISMonteCarlo(3), ("bits",)),
}
CONTINUOUS = {
    "VRIWAE": (lambda: VRIWAE(3), ("normal", "linear", "noise")),
    "VRDReG": (lambda: VRDReG(3, alpha=0.3), ("normal", "linear", "noise")),
    "CUBO": (lambda: CUBO(3), ("normal", "linear", "noise")),
    "CUBO of 1.5": (lambda: CUBO(4, power=1.5), ("normal",)),
    "GDReG": (lambda: GDReG(3), ("normal", "scaled", "linear", "noise", "chain")),
    "VIMCOStar": (lambda: VIMCOStar(4), ("normal",)),
    "VIMCOStar at alpha": (lambda: VIMCOStar(4, alpha=0.5), ("normal",)),
    "OVISMonteCarlo": (lambda: OVISMonteCarlo(3), ("normal",)),
}
ORACLES = {
    "bits": lambda: Bits(beta=0.7, seed=6),
    "codes": Codes,
    "five": lambda: Codes(5, seed=2),
    "one": lambda: OneBit((0.2,)),
    "normal": NormalNormal,
    "linear": lambda: LinearGaussian(3, 2),
    "noise": lambda: SignalToNoise(5, batch=4),
    "chain": Chain,
    "scaled": lambda: Chain((0.3, 2.0)),  # a beta that is taken for a part of q's density would be seen
}
SEEN = ("bits", "codes", "normal")  # where 5 % of every part are more than the noise


@cache
def known(name):
    return ORACLES[name]()


def drawn(name, estimator):
    count, copies = (100, 1000) if name in ("codes", "five") else (2500, 40)
    return gradients(estimator, known(name), count, copies)


def drawn_in_a_loop(name, estimator, count=60, copies=1700):
    oracle = known(name)
    objective = estimator(oracle.model, oracle.guide)
    x = oracle.x.repeat(copies, *[1] * (oracle.x.dim() - 1))
    losses, draws = loop(objective, x, count)
    targets = [-copies * target.sum() for target in estimator.targets(oracle)]
    exact = {"loss": targets[0].detach()}
    for which, target in zip(PARTS, targets, strict=True):
        found = exact_gradients(lambda target=target: target, getattr(oracle, which))
        exact |= {f"{which}.{name}": gradient for name, gradient in found.items()}
    draws["loss"] = losses
    return {name: draws[name] for name in exact}, exact


def cases(table):
    """The first oracle of each, and the others where there is time."""
    return [
        pytest.param(name, oracle, id=f"{name}-{oracle}", marks=pytest.mark.slow if oracle in found[1:] else ())
        for name, (_, found) in table.items()
        for oracle in found
    ]


def right(draws, exact, *, seen):
    found, bound = worst(draws, exact)
    assert found < bound
    for which in ("loss", *PARTS) if seen else ():
        wrong = {name: 1.05 * value for name, value in part(exact, which).items()}
        found, bound = worst(part(draws, which), wrong)
        assert found > bound, f"a bias of 5 % of the {which} has to be seen"


@pytest.mark.parametrize(("name", "oracle"), cases(CODED))
def test_unbiased_for_codes(name, oracle):
    estimator = CODED[name][0]()
    assert estimator.unbiased
    right(*drawn(oracle, estimator), seen=oracle in SEEN)


@pytest.mark.parametrize(("name", "oracle"), cases(CONTINUOUS))
def test_unbiased_for_continuous_latents(name, oracle):
    estimator = CONTINUOUS[name][0]()
    assert estimator.unbiased
    right(*drawn_in_a_loop(oracle, estimator), seen=oracle == "normal")


def test_ovis_is_biased_for_the_guide_alone():
    draws, exact = drawn_in_a_loop("normal", OVIS(3))
    for which in ("loss", "model"):
        found, bound = worst(part(draws, which), part(exact, which))
        assert found < bound
    found, bound = worst(part(draws, "guide"), part(exact, "guide"))
    assert found > bound


@pytest.mark.parametrize("name", ["DisARMSB", "DisARMIW", "ARMS", "RODEO", "GDReG", "CUBO"])
def test_half_an_estimator_is_seen(name, monkeypatch):
    """What is special about each, left out."""
    mistakes = {
        "DisARMSB": (
            coupled.Path,
            "partner",
            lambda self: coupled.Path(self.logits, _shuffled(self.z), self.left, self.right),
        ),
        "DisARMIW": (coupled, "stick", coupled.halves),
        "ARMS": (copula, "correlations", lambda logits, count: (logits * 0, logits * 0 - 1e-9)),
        "RODEO": (RODEO, "output", lambda self, tangent, f: torch.stack([tangent, tangent + f], -1)),
        "GDReG": (hierarchical, "moved", lambda p, z: z + 0 * hierarchical.base(p).loc),
        "CUBO": (renyi, "detached", lambda values: values),
    }
    monkeypatch.setattr(*mistakes[name])
    table, draw = (CODED, drawn) if name in CODED else (CONTINUOUS, drawn_in_a_loop)
    found, bound = worst(*draw("normal" if table is CONTINUOUS else table[name][1][0], table[name][0]()))
    assert found > bound


def _shuffled(z):
    return z[..., torch.randperm(z.shape[-1])]


def total(variances):
    return sum(value.sum().item() for value in variances.values())


def test_repelling_bits_vary_less_than_pairs_and_than_independent_ones():
    oracle = Bits()
    four = total(variance(ARMS(4), oracle, 4000))
    assert four < 0.85 * total(variance(DisARM(2), oracle, 4000))
    assert four < 0.9 * total(variance(RLOO(4), oracle, 4000))


def test_two_of_the_repelling_bits_are_a_mirrored_pair():
    two, pair = (total(variance(e, OneBit((0.2,)), 20_000)) for e in (ARMS(2), DisARM(1)))
    assert two == pytest.approx(pair, rel=0.1)


def test_vimco_star_varies_least_at_its_own_constant(monkeypatch):
    """The constant is alpha: half of it and one and a half of it vary more, at many particles."""
    oracle, found = SignalToNoise(2, batch=2), []
    for times in (0.0, 1.0, 2.0):
        estimator = VIMCOStar(60, alpha=0.5)
        right_signal = estimator.signal

        def signal(log_weight, right_signal=right_signal, times=times):
            return right_signal(log_weight) - 2 * (times - 1) * 0.5 / 59

        estimator.signal = signal
        found.append(total(variance(estimator, oracle, 500)))
    assert found[1] < 0.9 * min(found[0], found[2])


class Equal(nn.Module):
    """Codes whose categories are all as likely."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(4, dtype=torch.float64))

    def forward(self, x):
        with pyro.plate("batch", len(x)):
            pyro.sample("z", dist.OneHotCategorical(logits=self.logits))


@pytest.mark.parametrize("cls", [DisARMSB, DisARMTree, DisARMIW])
def test_equal_probabilities(cls):
    """Where a bit has the probability 1/2 exactly."""
    oracle, equal = Codes(), Equal()
    objective = cls()(oracle.model, equal)
    for copies in (1, 500):
        objective(oracle.x.repeat(copies, 1)).backward()
    assert equal.logits.grad.isfinite().all()
    assert equal.logits.grad.abs().max() > 0


def test_gdreg_is_dreg_for_the_guide():
    oracle = Chain()
    for parameter in (*oracle.model.parameters(), *oracle.guide.parameters()):
        parameter.grad = None
    found = []
    for cls in (DReG, GDReG):
        torch.manual_seed(0)
        objective = cls(4)(oracle.model, oracle.guide)
        objective.zero_grad()
        objective(oracle.x).backward()
        found.append({name: p.grad.clone() for name, p in objective.named_parameters()})
    for name in found[0]:
        same = torch.allclose(found[0][name], found[1][name], rtol=1e-12)
        assert same == name.startswith("guide."), name


def test_gdreg_of_a_guide_that_does_not_learn():
    """The prior's path is the same whether or not anything moves the draws."""
    oracle, found = Chain(), []
    for learns in (True, False):
        oracle.guide.requires_grad_(learns)
        torch.manual_seed(0)
        loss = GDReG(4)(oracle.model, oracle.guide)(oracle.x)
        found.append(torch.autograd.grad(loss, list(oracle.model.parameters())))
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)
