"""What is known of these estimators' variances, what RELAX learns, and which guides they refuse."""

import pyro
import pyro.distributions as dist
import pytest
import torch

from elbolab.estimators.antithetic import ARM, DisARM
from elbolab.estimators.control_variates import REBAR, RELAX, MuProp
from elbolab.estimators.enumeration import Enumeration
from elbolab.estimators.relaxed import Concrete, GumbelRao, STGumbel, StraightThrough
from elbolab.estimators.score import REINFORCE
from elbolab.oracles import Bits, Codes, OneBit
from tests.elbolab.replicates import variance

ALL = (ARM, DisARM, MuProp, REBAR, RELAX, Concrete, GumbelRao, STGumbel, StraightThrough)
APART = tuple(cls for cls in ALL if cls not in (ARM, DisARM))  # which serve bits that depend on others, in layers


def both(estimator, oracle, seed=0):
    """The loss and all gradients of one step."""
    torch.manual_seed(seed)
    objective = estimator(oracle.model, oracle.guide)
    parameters = [*oracle.model.parameters(), *oracle.guide.parameters()]
    loss = objective(oracle.x)
    return [loss, *torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)]


def total(variances):
    return sum(value.sum().item() for value in variances.values())


@pytest.mark.parametrize("oracle", [Bits, lambda: OneBit((0.2,))])
def test_disarm_varies_less_than_arm(oracle):
    arm, disarm = variance(ARM(), oracle(), 10_000), variance(DisARM(), oracle(), 10_000)
    for name in arm:
        assert (disarm[name] <= 1.05 * arm[name]).all()  # 10,000 draws know a variance to about 1.5 %
    assert total(disarm) < 0.9 * total(arm)


def test_gumbel_rao_varies_less_than_straight_through_gumbel():
    few, many = (total(variance(GumbelRao(samples=n), Bits())) for n in (1, 30))
    assert many < 0.5 * few
    assert few == pytest.approx(total(variance(STGumbel(), Bits())), rel=0.15)


def test_control_variates_lower_the_variance():
    plain = total(variance(REINFORCE(), Bits()))
    for cls in (MuProp, REBAR):
        assert total(variance(cls(), Bits())) < 0.2 * plain


@pytest.mark.parametrize("cls", [MuProp, StraightThrough])
@pytest.mark.parametrize(
    "q",
    [lambda logits: dist.Bernoulli(logits=logits).to_event(1), lambda logits: dist.OneHotCategorical(logits=logits)],
)
def test_a_linear_signal_leaves_no_variance(cls, q):
    """Without data f(z) = sum_j z_j (log p_j - log q_j) + constant is its own tangent: every draw is exact."""
    logits, prior = torch.randn(2, 3).double().requires_grad_(), torch.randn(3).double()

    def program(values):
        def run(x):
            with pyro.plate("batch", 2):
                pyro.sample("z", q(values))

        return run

    loss = cls(num_particles=2).differentiable_loss(program(prior), program(logits), None)
    exact = Enumeration().differentiable_loss(program(prior), program(logits), None)
    found, expected = (torch.autograd.grad(one, logits)[0] for one in (loss, exact))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("oracle", [Bits, Codes])
def test_rebar_without_its_control_variate_is_reinforce(oracle):
    oracle = oracle()
    torch.testing.assert_close(both(REBAR(eta=0.0), oracle), both(REINFORCE(), oracle), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("oracle", [Bits, Codes])
def test_relax_without_its_network_is_rebar(oracle):
    oracle, relax = oracle(), RELAX(eta=0.8).double()
    both(relax, oracle)
    with torch.no_grad():
        relax.network[-1].weight.zero_()
        relax.network[-1].bias.zero_()
    torch.testing.assert_close(both(relax, oracle), both(REBAR(eta=relax.eta.item()), oracle), rtol=1e-9, atol=1e-9)


@pytest.fixture
def learned():
    """RELAX on one bit before and after 150 steps at fixed parameters of model and guide: its variances."""
    oracle, relax = OneBit((0.45,)), RELAX().double()
    first = total(variance(relax, oracle))
    objective, x = relax(oracle.model, oracle.guide), oracle.x.repeat(20)
    before = [p.clone() for p in (*oracle.model.parameters(), *oracle.guide.parameters())]
    optimiser = torch.optim.Adam(relax.parameters(), 0.02)
    for _ in range(150):
        optimiser.zero_grad()
        objective(x).backward()
        optimiser.step()
    after = [*oracle.model.parameters(), *oracle.guide.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    return first, total(variance(relax, oracle))


def test_relax_learns_to_vary_less(learned):
    first, last = learned
    assert last < 0.1 * first


def test_relax_descends_the_square_of_its_gradient():
    """For one bit and one datum d(g^2)/d(eta) by finite differences from the same draws."""
    oracle, relax = OneBit((0.3,)), RELAX().double()
    both(relax, oracle)

    def square():
        return both(relax, oracle)[-1].item() ** 2

    torch.manual_seed(0)
    (found,) = torch.autograd.grad(relax(oracle.model, oracle.guide)(oracle.x), [relax.eta])
    step, start = 1e-5, relax.eta.item()
    ends = []
    for end in (start + step, start - step):
        with torch.no_grad():
            relax.eta.fill_(end)
        ends.append(square())
    assert found.item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)
    assert abs(found.item()) > 1e-3


def test_what_relax_learns_does_not_reach_model_and_guide():
    """The gradients of model and guide are those of the surrogate, whatever weight g^2 has in it."""
    oracle, relax = Bits(), RELAX().double()
    both(relax, oracle)
    expected, dot = both(relax, oracle), RELAX.square

    class Heavier(RELAX):
        def square(self, *arguments):
            return 1000 * dot(self, *arguments)

    relax.__class__ = Heavier
    torch.testing.assert_close(both(relax, oracle), expected, rtol=0, atol=0)


def guide_of(q):
    def guide(x):
        with pyro.plate("batch", len(x)):
            pyro.sample("z", q.expand((3,)).to_event(1))

    return guide


@pytest.mark.parametrize("cls", ALL)
def test_continuous_latents_are_refused_by_name(cls):
    program = guide_of(dist.Normal(0.0, 1.0))
    with pytest.raises(ValueError, match=f"{cls.__name__} serves .* the guide's z is Normal. .* REINFORCE"):
        cls().loss(program, program, torch.zeros(2, 3))


@pytest.mark.parametrize("cls", [ARM, DisARM])
def test_one_hot_codes_are_refused_by_name(cls):
    oracle = Codes()
    with pytest.raises(ValueError, match="serves Bernoulli latents.* is OneHotCategorical. .* REBAR") as error:
        cls().loss(oracle.model, oracle.guide, oracle.x)
    assert "_" not in str(error.value).rpartition("for it:")[2], "a class that is not to be chosen is not offered"


@pytest.mark.parametrize("cls", APART)
def test_bits_that_depend_on_one_another_are_refused_by_name(cls):
    def guide(x):
        with pyro.plate("batch", len(x)):
            first = pyro.sample("first", dist.Bernoulli(logits=x[:, :2]).to_event(1))
            pyro.sample("second", dist.Bernoulli(logits=first[:, 0] - first[:, 1]))

    estimator, state = cls(), torch.get_rng_state()
    expected = f"{cls.__name__} .* the guide's second depends .* Enumeration.*REINFORCE"
    with pytest.raises(ValueError, match=expected) as error:
        estimator.loss(guide, guide, torch.zeros(4, 3))
    offered = str(error.value).rpartition("for it: ")[2].split(", ")
    assert {"ARM", "DisARM"} <= set(offered)
    assert not {other.__name__ for other in APART} & set(offered)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(("cls", "options"), [(REBAR, {"temperature": 0.0}), (Concrete, {"temperature": -1.0})])
def test_a_temperature_is_positive(cls, options):
    with pytest.raises(ValueError, match="temperature"):
        cls(**options)
