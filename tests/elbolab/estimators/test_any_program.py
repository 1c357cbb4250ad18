"""Programs as people write them: an estimator has the gradient that it claims, or says by name what it does not serve.

Parameters are in Pyro's store. What is exact is a sum over bits or an integral by quadrature, written out here.
"""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer.autoguide import AutoDelta, AutoDiagonalNormal, AutoNormal
from pyro.poutine.messenger import Messenger
from torch import nn

import elbolab
from elbolab import (
    ARM,
    IWAE,
    NVIL,
    REBAR,
    REINFORCE,
    RELAX,
    RLOO,
    VIMCO,
    DisARM,
    DReG,
    MovingAverage,
    MuProp,
    Pathwise,
    PathwiseAnalyticKL,
    StickingTheLanding,
    WakePhi,
)
from elbolab.estimators.score import DetachedDraws
from elbolab.oracles.quadrature import normal_nodes
from tests.elbolab.statistics import worst

PATHWISE = (Pathwise, PathwiseAnalyticKL, StickingTheLanding, DReG)
SCORE = (REINFORCE, RLOO, MovingAverage, NVIL)
X, NORMAL = torch.tensor([-0.5, 2.0, 0.7], dtype=torch.float64), dist.Normal(0.0, 1.0)


@pytest.fixture(autouse=True)
def precise(one_store):
    torch.set_default_dtype(torch.float64)


def draws(elbo, model, guide, *arguments, repeats=40, **keywords):
    """The loss and the gradients of everything in the store, one row for every run."""
    found: dict[str, list] = {}
    for _ in range(repeats):
        loss = elbo.loss_and_grads(model, guide, *arguments, **keywords)
        found.setdefault("loss", []).append(torch.tensor(loss))
        for name, parameter in pyro.get_param_store().named_parameters():
            if "$$$" not in name:  # what is the estimator's own
                found.setdefault(name, []).append(
                    torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                )
            parameter.grad = None
    return {name: torch.stack(rows) for name, rows in found.items()}


def exact(objective):
    """minus a function of the parameters in the store, and its gradients."""
    store = {name: p for name, p in pyro.get_param_store().named_parameters() if "$$$" not in name}
    loss = -objective(**{name: pyro.param(name) for name in store})
    gradients = torch.autograd.grad(loss, list(store.values()), allow_unused=True, materialize_grads=True)
    return {"loss": loss.detach()} | dict(zip(store, gradients, strict=True))


def right(elbo, model, guide, objective, *arguments, repeats=40, **keywords):
    """Whether the mean of many gradients is the exact one, and whether one that is 10 % off would be seen."""
    found = draws(elbo, model, guide, *arguments, repeats=repeats, **keywords)
    expected = exact(objective)
    found = {name: found[name] for name in expected}
    score, bound = worst(found, expected)
    assert score < bound, {name: (found[name].mean(0).tolist(), value.tolist()) for name, value in expected.items()}
    wrong = {name: 1.2 * value + 0.05 for name, value in expected.items()}
    score, bound = worst(found, wrong)
    assert score > bound, "a wrong gradient is seen"


def copies(cls, count=2000):
    """Many particles at once, where more of them are more of the same."""
    return cls(count) if cls is not DReG else cls(1)


# ---- one bit, and what else people write down --------------------------------------------------------------------


def bit_model(n, extra=None):
    with pyro.plate("data", n):
        z = pyro.sample("z", dist.Bernoulli(0.5))
        if extra == "deterministic":
            pyro.deterministic("d", 3 * z)
        if extra == "computed":
            pyro.sample("d", dist.Normal(3 * z, 1.0), obs=3 * z)
        pyro.sample("x", dist.Normal(2 * z, 0.7), obs=torch.full((n,), 0.3))


def bit_guide(n, extra=None):
    logits = pyro.param("logits", torch.tensor(0.3))
    with pyro.plate("data", n):
        pyro.sample("z", dist.Bernoulli(logits=logits))


def bit_elbo(logits, n=200):
    q, z = torch.stack([torch.sigmoid(-logits), torch.sigmoid(logits)]), torch.tensor([0.0, 1.0])
    return n * (q * (math.log(0.5) + dist.Normal(2 * z, 0.7).log_prob(torch.tensor(0.3)) - q.log())).sum()


@pytest.mark.parametrize("extra", ["deterministic", "computed"])
@pytest.mark.parametrize("cls", [NVIL, RELAX])
def test_a_baseline_does_not_see_what_was_drawn(cls, extra):
    """With z in sight it learns the signal itself, and what is left of the gradient is 0."""
    bit_guide(1)
    elbo = cls(1)
    elbo.loss_and_grads(bit_model, bit_guide, 200, extra)
    optimiser = torch.optim.Adam(elbo.parameters(), 0.03)
    for _ in range(100):
        optimiser.zero_grad()
        elbo.loss_and_grads(bit_model, bit_guide, 200, extra)
        optimiser.step()
    for p in pyro.get_param_store()._params.values():
        p.grad = None

    constant = 200 * dist.Normal(0.0, 1.0).log_prob(torch.tensor(0.0)) if extra == "computed" else 0.0
    right(elbo, bit_model, bit_guide, lambda logits: bit_elbo(logits) + constant, 200, extra, repeats=60)


@pytest.mark.parametrize("cls", SCORE)
def test_data_of_which_some_are_missing(cls):
    """obs_mask draws what is not observed; a baseline sees what is."""
    seen = torch.arange(200) % 2 == 0

    def model():
        with pyro.plate("data", 200):
            z = pyro.sample("z", dist.Bernoulli(0.5))
            pyro.sample("x", dist.Normal(2 * z, 0.7), obs=torch.full((200,), 0.3), obs_mask=seen)

    def guide():
        logits = pyro.param("logits", torch.tensor(0.3))
        with pyro.plate("data", 200):
            z = pyro.sample("z", dist.Bernoulli(logits=logits))
            with poutine.mask(mask=~seen):
                pyro.sample("x_unobserved", dist.Normal(2 * z, 0.7))

    def objective(logits):
        q = torch.stack([torch.sigmoid(-logits), torch.sigmoid(logits)])
        return bit_elbo(logits, 100) + 100 * (q * (math.log(0.5) - q.log())).sum()

    elbo = cls(20)
    elbo.loss(model, guide)
    right(elbo, model, guide, objective)


# ---- bits that depend on bits ------------------------------------------------------------------------------------


def layered_model():
    with pyro.plate("data", 100):
        a = pyro.sample("a", dist.Bernoulli(0.4))
        b = pyro.sample("b", dist.Bernoulli(logits=a - 0.5))
        pyro.sample("x", dist.Normal(a + 2 * a * b - b, 0.7), obs=torch.ones(100))


def layered_guide(weight):
    la, lb, w = (pyro.param(name, torch.tensor(v)) for name, v in (("la", 0.2), ("lb", -0.4), ("w", weight)))
    with pyro.plate("data", 100):
        a = pyro.sample("a", dist.Bernoulli(logits=la))
        pyro.sample("b", dist.Bernoulli(logits=lb + w * a))


def layered_elbo(la, lb, w):
    total = torch.zeros(())
    for a in torch.tensor([0.0, 1.0]):
        for b in torch.tensor([0.0, 1.0]):
            log_q = dist.Bernoulli(logits=la).log_prob(a) + dist.Bernoulli(logits=lb + w * a).log_prob(b)
            log_p = dist.Bernoulli(0.4).log_prob(a) + dist.Bernoulli(logits=a - 0.5).log_prob(b)
            log_p = log_p + dist.Normal(a + 2 * a * b - b, 0.7).log_prob(torch.tensor(1.0))
            total = total + log_q.exp() * (log_p - log_q)
    return 100 * total


@pytest.mark.parametrize("weight", [0.0, 1.5])
@pytest.mark.parametrize("cls", [ARM, DisARM, RLOO, NVIL])
def test_layers_of_bits(cls, weight):
    elbo = cls(20)
    right(elbo, lambda: layered_model(), lambda: layered_guide(weight), layered_elbo)


@pytest.mark.parametrize("cls", [MuProp, REBAR, RELAX, elbolab.StraightThrough, elbolab.Concrete])
def test_layers_are_refused_by_structure(cls):
    """Though the weight is 0, and no draw shows that b depends on a."""
    with pytest.raises(ValueError, match="guide's b depends on the value of a. Estimators for it: .*DisARM"):
        cls().loss(lambda: layered_model(), lambda: layered_guide(0.0))


# ---- the order of a guide ----------------------------------------------------------------------------------------


def reversed_model():
    with pyro.plate("data", 1):
        z1 = pyro.sample("z1", dist.Normal(0.0, 1.0))
        z2 = pyro.sample("z2", dist.Normal(z1, 1.0))
        pyro.sample("x", dist.Normal(z2, 1.0), obs=torch.ones(1))


def reversed_guide():
    m = pyro.param("m", torch.tensor(2 / 3))
    with pyro.plate("data", 1):
        z2 = pyro.sample("z2", dist.Normal(m, (2 / 3) ** 0.5))
        pyro.sample("z1", dist.Normal(z2 / 2, 0.5**0.5))


def test_a_guide_in_another_order_than_the_model():
    """At the exact posterior the bound is the evidence; a KL in closed form, site by site, would not be."""
    evidence = dist.Normal(0.0, 3**0.5).log_prob(torch.tensor(1.0))
    reversed_guide()
    found = draws(PathwiseAnalyticKL(4000), reversed_model, reversed_guide, repeats=20)
    score, bound = worst(found, {"loss": -evidence, "m": torch.zeros(())})
    assert score < bound
    score, bound = worst({"m": found["m"]}, {"m": torch.tensor(0.05)})
    assert score > bound


# ---- what a guide puts in besides its draws ----------------------------------------------------------------------


def scaled_model():
    b = pyro.param("b", torch.tensor(0.4))
    with pyro.plate("data", 3):
        z = pyro.sample("z", dist.Normal(b, 1.0))
        pyro.sample("x", dist.Normal(z, 0.8), obs=X)


def flow_with_a_factor():
    m, s = pyro.param("m", torch.tensor(0.3)), pyro.param("s", torch.tensor(-0.2))
    with pyro.plate("data", 3):
        e = pyro.sample("e", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})
        pyro.sample("z", dist.Delta(m + s.exp() * e))
        pyro.factor("log_jacobian", -s, has_rsample=True)


def flow_in_a_point_mass():
    m, s = pyro.param("m", torch.tensor(0.3)), pyro.param("s", torch.tensor(-0.2))
    with pyro.plate("data", 3):
        e = pyro.sample("e", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})
        pyro.sample("z", dist.Delta(m + s.exp() * e, log_density=-s))


def learnt_draw():
    """The same, the parameters in the density that is drawn from, and a function of it."""
    m, s = pyro.param("m", torch.tensor(0.3)), pyro.param("s", torch.tensor(-0.2))
    with pyro.plate("data", 3):
        e = pyro.sample("e", dist.Normal(m, s.exp()), infer={"is_auxiliary": True})
        pyro.sample("z", dist.Delta(e))


def scaled_elbo(b, m, s):
    nodes, log_measure = normal_nodes(40)
    total = torch.zeros(())
    z = m + s.exp() * nodes[:, 0]
    log_w = dist.Normal(b, 1.0).log_prob(z) - dist.Normal(m, s.exp()).log_prob(z)
    for datum in X:
        total = total + (log_measure.exp() * (log_w + dist.Normal(z, 0.8).log_prob(datum))).sum()
    return total


@pytest.mark.parametrize("guide", [flow_with_a_factor, flow_in_a_point_mass, learnt_draw])
@pytest.mark.parametrize("cls", [*PATHWISE, *SCORE])
def test_point_masses_and_factors_in_a_guide(cls, guide):
    elbo = copies(cls)
    scaled_model(), guide()
    elbo.loss(scaled_model, guide)
    right(elbo, scaled_model, guide, scaled_elbo, repeats=20 if cls is not DReG else 200)


def test_an_observed_site_of_a_guide_is_subtracted():
    def guide():
        learnt_draw()
        pyro.sample("note", dist.Normal(pyro.param("m"), 1.0), obs=torch.tensor(0.0))

    right(
        Pathwise(2000),
        scaled_model,
        guide,
        lambda b, m, s: scaled_elbo(b, m, s) - dist.Normal(m, 1.0).log_prob(torch.tensor(0.0)),
    )


@pytest.mark.parametrize("guide", [flow_with_a_factor, flow_in_a_point_mass, learnt_draw])
def test_a_wake_gradient_needs_densities(guide):
    with pytest.raises(ValueError, match="WakePhi serves guides that draw every latent"):
        WakePhi(3).loss(scaled_model, guide)


def test_a_density_from_outside_is_refused():
    def guide():
        learnt_draw()
        pyro.factor("density", torch.zeros(()), has_rsample=False)

    with pytest.raises(ValueError, match="the guide's density has has_rsample=False"):
        REINFORCE().loss(scaled_model, guide)


# ---- AutoGuides --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "autoguide", "vectorized"),
    [(cls, autoguide, True) for cls in (*PATHWISE, *SCORE) for autoguide in (AutoNormal, AutoDiagonalNormal)]
    + [(Pathwise, AutoNormal, False), (RLOO, AutoDiagonalNormal, False)],
)
def test_autoguides(cls, autoguide, vectorized):
    """Several observed sites, a record, a factor on a parameter and keyword arguments, in the usual Pyro style."""

    def model(x, *, shift):
        m = pyro.param("m", torch.tensor(0.3))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(m, 1.0))
            pyro.deterministic("twice", 2 * z)
            pyro.sample("x", dist.Normal(1.3 * z, 0.7), obs=x)
            pyro.sample("y", dist.Normal(z + shift, 1.7), obs=x + 1)
        pyro.factor("prior_of_m", -m.square())

    x, shift = torch.tensor([-0.5, 2.0]), torch.tensor(0.4)
    guide = autoguide(model)
    guide(x, shift=shift)
    name = autoguide.__name__
    loc, scale = (f"{name}.locs.z", f"{name}.scales.z") if autoguide is AutoNormal else (f"{name}.loc", f"{name}.scale")

    def objective(**parameters):
        # E[(a z + b - x)^2] = (a loc + b - x)^2 + a^2 scale^2, term by term.
        m, mean, deviation = parameters["m"], parameters[loc], parameters[scale]
        total = -m.square() + (deviation.log() + 0.5 * math.log(2 * math.pi * math.e)).sum()
        for a, b, s, data in ((1.0, 0.0, 1.0, m), (1.3, 0.0, 0.7, x), (1.0, shift, 1.7, x + 1)):
            squares = (a * mean + b - data).square() + (a * deviation).square()
            total = total - (0.5 * squares / s**2 + math.log(s) + 0.5 * math.log(2 * math.pi)).sum()
        return total

    elbo = cls(1 if cls is DReG else 1000 if vectorized else 4, vectorize_particles=vectorized)
    elbo.loss(model, guide, x, shift=shift)
    repeats = 150 if cls is DReG else 20 if vectorized else 80
    right(elbo, model, guide, objective, x, shift=shift, repeats=repeats)


@pytest.mark.parametrize("cls", [Pathwise, StickingTheLanding, DReG, REINFORCE, RLOO, NVIL, IWAE])
def test_a_point_estimate_is_ascended_as_it_is(cls):
    guide = AutoDelta(scaled_model)
    guide()
    elbo = cls(3)
    elbo.loss(scaled_model, guide)

    def objective(**parameters):
        z = parameters["AutoDelta.z"]
        return (dist.Normal(parameters["b"], 1.0).log_prob(z) + dist.Normal(z, 0.8).log_prob(X)).sum()

    found, expected = draws(elbo, scaled_model, guide, repeats=2), exact(objective)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value.expand(2, *value.shape), rtol=1e-12, atol=1e-12)


# ---- plates ------------------------------------------------------------------------------------------------------


def global_model(subsample):
    g = pyro.sample("g", dist.Normal(0.0, 1.0))
    with pyro.plate("data", 6, subsample_size=subsample) as index:
        z = pyro.sample("z", dist.Normal(g, 1.0))
        pyro.sample("x", dist.Normal(z, 1.0), obs=torch.arange(6.0)[index])


def global_guide(subsample):
    m = pyro.param("m", torch.tensor(0.5))
    g = pyro.sample("g", dist.Normal(m, 0.5))
    with pyro.plate("data", 6, subsample_size=subsample):
        pyro.sample("z", dist.Normal(g + m, 0.7))


@pytest.mark.parametrize("cls", [IWAE, DReG, elbolab.MIWAE, elbolab.CIWAE, VIMCO, WakePhi])
def test_a_bound_of_many_samples_needs_all_data_of_a_shared_latent(cls):
    with pytest.raises(ValueError, match="plate data is subsampled, and a latent outside of it .* Estimators .*RLOO"):
        cls(3).loss(global_model, global_guide, 2)
    assert math.isfinite(cls(3).loss(global_model, global_guide, None))


@pytest.mark.parametrize("what", ["factor", "deterministic", "observed"])
def test_what_is_outside_the_plate_and_depends_on_no_latent_leaves_data_independent(what):
    def model(extra):
        b = pyro.param("b", torch.tensor(0.4))
        scaled_model()
        if extra == "factor":
            pyro.factor("f", -b)
        if extra == "deterministic":
            pyro.deterministic("d", 2 * b)
        if extra == "observed":
            pyro.sample("o", dist.Normal(b, 1.0), obs=torch.tensor(0.1))

    learnt_draw()
    term = {"factor": -0.4, "deterministic": 0.0, "observed": dist.Normal(0.4, 1.0).log_prob(torch.tensor(0.1)).item()}
    found = []
    for extra in (None, what):
        pyro.set_rng_seed(0)
        found.append(IWAE(50).loss(model, lambda extra: learnt_draw(), extra))
    assert found[1] == pytest.approx(found[0] - term[what], abs=1e-10)


# ---- what is refused ---------------------------------------------------------------------------------------------


def refused(message, model, guide, *arguments, cls=Pathwise, particles=1):
    with pytest.raises(ValueError, match=message):
        cls(particles).loss(model, guide, *arguments)


def test_a_latent_that_nobody_draws():
    def guide():
        with pyro.plate("data", 3):
            pass

    refused("model's z is not in the guide, and would be drawn from its prior", scaled_model, guide)


def test_a_latent_that_is_to_be_enumerated():
    def model():
        with pyro.plate("data", 3):
            c = pyro.sample("c", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
            z = pyro.sample("z", dist.Normal(c, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=X)

    refused("model's c is to be enumerated: TraceEnum_ELBO", model, learnt_draw)


def test_a_latent_of_the_guide_alone():
    refused("guide's e is not in the model, nor marked as auxiliary", lambda: None, lambda: pyro.sample("e", NORMAL))
    refused(
        "guide's e is observed in the model",
        lambda: pyro.sample("e", NORMAL, obs=X[0]),
        lambda: pyro.sample("e", NORMAL),
    )


@pytest.mark.parametrize("particles", [1, 3])
def test_an_observed_site_outside_its_plate(particles):
    """With as many particles as data the shapes fit, and both are mixed."""

    def model():
        with pyro.plate("data", 3):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z, 1.0), obs=X)

    refused('at site "x", invalid log_prob shape', model, learnt_draw, particles=particles)


def test_programs_are_checked_again_when_they_change():
    elbo = Pathwise(2)

    def model(bits):
        with pyro.plate("data", 3):
            z = pyro.sample("z", dist.Bernoulli(0.5) if bits else NORMAL)
            pyro.sample("x", dist.Normal(z, 1.0), obs=X)

    def guide(bits):
        with pyro.plate("data", 3):
            pyro.sample("z", dist.Bernoulli(0.4) if bits else NORMAL)

    elbo.loss(model, guide, False)
    with pytest.raises(ValueError, match="guide's z is Bernoulli"):
        elbo.loss(model, guide, True)
    switch = []

    def model_with_a_switch():
        return model(bool(switch))

    def guide_with_a_switch():
        return guide(bool(switch))

    elbo.loss(model_with_a_switch, guide_with_a_switch)
    switch.append(1)
    with pytest.raises(ValueError, match="guide's z is Bernoulli"):
        elbo.loss(model_with_a_switch, guide_with_a_switch)


def test_deeper_plates_are_found_when_they_appear():
    def program(deep):
        with pyro.plate("data", 3, dim=-1):
            if deep:
                with pyro.plate("inside", 2, dim=-2):
                    pyro.sample("z", dist.Normal(pyro.param("m", torch.tensor(0.2)), 1.0))
            else:
                pyro.sample("z", dist.Normal(pyro.param("m", torch.tensor(0.2)), 1.0))

    elbo = Pathwise(4)
    for deep in (False, True, False):
        assert elbo.loss(program, program, deep) == pytest.approx(0, abs=1e-12)


class Given(Messenger):
    """Draws z from noise that is given: e of every particle, whether they are drawn together or one by one."""

    def __init__(self, noise, together, inner):
        super().__init__()
        self.noise, self.together, self.inner, self.next = noise, together, inner, 0

    def _pyro_sample(self, msg):
        if msg["name"] == "z" and not msg["is_observed"]:
            e = self.noise if self.together else self.noise[self.next]
            self.next += 1
            msg["value"], msg["done"] = msg["fn"].loc + msg["fn"].scale * e, True

    def _pyro_post_sample(self, msg):
        if isinstance(self.inner, DetachedDraws):
            self.inner._pyro_post_sample(msg)


def learnt_normal():
    m, s = pyro.param("m", torch.tensor(0.3)), pyro.param("s", torch.tensor(-0.2))
    with pyro.plate("data", 3):
        pyro.sample("z", dist.Normal(m, s.exp()))


# ---- particles ---------------------------------------------------------------------------------------------------


class Flat(nn.Module):
    """Takes its latents for a matrix of data by numbers, whatever else they are."""

    def forward(self, wrong):
        with pyro.plate("data", 3):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            loc = {"shape": lambda: z.reshape(3, 2), "first": lambda: z[..., :3, :][:1], "sum": lambda: z - z.sum(0)}[
                wrong
            ]()
            pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=torch.ones(3, 2))


def flat_guide(wrong):
    with pyro.plate("data", 3):
        pyro.sample("z", dist.Normal(pyro.param("m", torch.zeros(2)), 1.0).to_event(1))


@pytest.mark.parametrize("wrong", ["shape", "first"])
def test_a_model_that_does_not_broadcast_is_told_so(wrong):
    refused(
        "3 particles as one plate.*do not broadcast.*vectorize_particles=False", Flat(), flat_guide, wrong, particles=3
    )
    assert math.isfinite(Pathwise(1).loss(Flat(), flat_guide, wrong))
    assert math.isfinite(Pathwise(3, vectorize_particles=False).loss(Flat(), flat_guide, wrong))


@pytest.mark.parametrize("cls", [REINFORCE, DReG, WakePhi])
def test_data_that_are_mixed_are_told_so(cls):
    refused(
        "the log-density of a datum changes with the latents of another",
        Flat(),
        flat_guide,
        "sum",
        cls=cls,
        particles=3,
    )


@pytest.mark.parametrize(
    "cls", [*PATHWISE, *SCORE, IWAE, VIMCO, WakePhi, elbolab.WakePhiDReG, elbolab.PIWAE, elbolab.MIWAE]
)
def test_one_by_one_is_the_same_estimator(cls):
    """The same draws, all at once and one by one: the same loss and gradients."""

    class Replaying(cls):
        def sampler(self):
            return Given(values, self.vectorize_particles, super().sampler())

    learnt_normal()
    values = torch.randn(4 * (4 if "IWAE" in cls.__name__ and cls is not IWAE else 1), 3)
    found = []
    for vectorized in (True, False):
        pyro.set_rng_seed(0)
        elbo = Replaying(4, vectorize_particles=vectorized)
        elbo.loss(scaled_model, learnt_normal)
        found.append(draws(elbo, scaled_model, learnt_normal, repeats=1))
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-10, atol=1e-10)
