"""The chain holds, and every link breaks when what it rests on is wrong."""

import dataclasses
import json

import pyro
import pytest
import torch
import torch.nn.functional as F
from pyro.distributions import Bernoulli
from pyro.infer import Trace_ELBO

import train
from compare import handwritten
from compare.__main__ import main
from compare.losses import chain, expectation, mistakes
from compare.losses.case import Case
from compare.losses.mistakes import MISTAKES, Mistake
from compare.losses.rows import relative, same_mean
from data import Digits
from elbolab.oracles import LinearGaussian
from training import Experiment
from training.catalogue import CHOICES

STEPS = {
    "1": chain.likelihood,
    "2": chain.divergence,
    "3": chain.analytic,
    "4": chain.sampled,
    "5": expectation.both_estimates,
    "6": expectation.particles,
    "7": expectation.three_forms,
    "8": chain.heads,
    "9": mistakes.mistakes,
}


@pytest.fixture
def case(monkeypatch):
    lab = Experiment(data=Digits(), latent=4, hidden=16, device="cpu")
    pyro.enable_validation(False)
    with torch.no_grad():  # a KL that is not small, a scale that is not 1
        lab.guide.posterior.encoder[-1][-1].bias.add_(torch.linspace(-0.8, 0.8, 8))
    return Case(lab.model, lab.guide, lab.dataset.batch(torch.arange(64)))


def fails(step, case):
    return [row.left for row in STEPS[step](case) if not row.holds]


@pytest.mark.parametrize("step", STEPS)
def test_every_link_holds(step, case):
    rows = STEPS[step](case)
    assert rows
    assert [row.step for row in rows] == [step] * len(rows)
    assert not fails(step, case)


class Off(Trace_ELBO):
    """Two per cent too much, value and gradient."""

    def differentiable_loss(self, *arguments, **keywords):
        return 1.02 * super().differentiable_loss(*arguments, **keywords)


class OffGradient(Trace_ELBO):
    """The right value; of the gradient, a twentieth is missing."""

    def differentiable_loss(self, *arguments, **keywords):
        loss = super().differentiable_loss(*arguments, **keywords)
        return 0.95 * loss + 0.05 * loss.detach()


class OneParticle(Trace_ELBO):
    """Ignores the number of particles."""

    def __init__(self, num_particles=1, **settings):
        super().__init__(num_particles=1, max_plate_nesting=1)


class Unmoved(Trace_ELBO):
    """Averages, and moves the mean."""

    def differentiable_loss(self, *arguments, **keywords):
        return super().differentiable_loss(*arguments, **keywords) * (1 + 0.001 * self.num_particles)


with_logits = F.binary_cross_entropy_with_logits  # as it is before a mutant takes its place


def bce(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1)


MUTANTS = [
    # step, where, name, what it becomes, the rows that must fail
    ("1", handwritten, "cross_entropy", lambda logits, x: bce(logits, x).mean(1), "BCE(logits)"),
    ("1", handwritten, "cross_entropy", lambda logits, x: bce(-logits, x).sum(1), "BCE(logits)"),
    ("1", handwritten, "cross_entropy", lambda logits, x: bce(logits, x).sum(1) + (logits.dtype == torch.float32) * 0.01, "BCE, float32"),
    ("1", chain.F, "binary_cross_entropy_with_logits", lambda v, x, **k: with_logits(v.clamp(-100, 100), x, **k), "BCE(logits), logit -200"),
    ("1", chain.F, "binary_cross_entropy", lambda y, x: F.binary_cross_entropy_with_logits(y * 0 - 200, x), "BCE(sigmoid), logit -200"),
    ("1", chain, "Bernoulli", lambda probs: Bernoulli(logits=probs * 0 - 200), "Bernoulli(probs), logit -200"),
    ("2", handwritten, "kl", lambda m, s: -(1 + s - m**2 - s.exp()).sum(-1), "-1/2 sum(1+s-m^2-e^s)"),
    ("2", handwritten, "kl", lambda m, s: -0.5 * (1 + 2 * s - m**2 - (2 * s).exp()).sum(-1), "-1/2 sum(1+s-m^2-e^s)"),
    ("2", handwritten, "entropy", lambda s: 0.5 * (1 + s).sum(-1), "entropy of q"),
    ("2", handwritten, "gaussian_cross_entropy", lambda m, s: 0.5 * (m**2 + s.exp()).sum(-1), "-1/2 sum(1+s-m^2-e^s)"),
    ("2", handwritten, "sampled_kl", lambda z, m, s: -0.5 * (s + (z - m) ** 2 / s.exp() - 1.1 * z**2).sum(-1), "log q - log p, 2000 draws"),
    ("3", handwritten, "kl", lambda m, s: -0.5 * (1 + 1e-8 + s - m**2 - s.exp()).sum(-1), "BCE + KL"),
    ("3", handwritten, "kl", lambda m, s: -0.5 * (1 + s - m.detach() ** 2 - s.exp()).sum(-1), "  its gradient (norm)"),
    ("3", handwritten, "reparameterize", lambda m, s, e: m + s.exp() * e, "BCE + KL"),
    ("4", handwritten, "sampled_kl", lambda z, m, s: -0.5 * (s + (z - m) ** 2 / s.exp()).sum(-1), "BCE + log q - log p"),
    ("4", handwritten, "reparameterize", lambda m, s, e: m + torch.exp(0.5 * s).detach() * e, "  its gradient (norm)"),
    ("5", expectation, "Trace_ELBO", Off, "Trace_ELBO, mean"),
    ("5", expectation, "Trace_ELBO", OffGradient, "  its gradient, along the mean"),
    ("6", expectation, "Trace_ELBO", OneParticle, "slope of log variance in log K"),
    ("6", expectation, "Trace_ELBO", Unmoved, "mean of 16 samples"),
    ("7", expectation, "analytic_kl", lambda q, p: 1.5 * torch.distributions.kl_divergence(q, p), "E[log p(x,z)] + H(q)"),
    ("7", LinearGaussian, "entropy", lambda self: 0.5 * self.encoder_variance.log().sum(), "E[log p(x|z)] - KL, known model"),
    ("7", LinearGaussian, "log_evidence", lambda self, x: self.posterior(x).entropy(), "log p(x) - KL(q || p(z|x))"),
    ("7", LinearGaussian, "guide", lambda self, x: _shifted(self, x), "Pyro's programs, 4000 draws"),
    ("8", handwritten, "kl_of_log_deviation", lambda m, t: handwritten.kl(m, t), "KL of head t = log sigma"),
    ("8", handwritten, "kl_of_softplus", lambda m, h: handwritten.kl(m, h), "KL of head h, softplus"),
]  # fmt: skip


def _shifted(oracle, x):
    with pyro.plate("batch", len(x)):
        pyro.sample(
            "z", pyro.distributions.Normal(oracle.location(x) + 0.3, oracle.encoder_variance.sqrt()).to_event(1)
        )


@pytest.mark.parametrize(
    ("step", "where", "name", "mutant", "row"), MUTANTS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_wrong_link_breaks(step, where, name, mutant, row, case, monkeypatch):
    monkeypatch.setattr(where, name, mutant)
    assert row in fails(step, case)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_a_mistake_that_is_none_is_not_called_one(mistake, case, monkeypatch):
    """The ELBO in the mistake's place: its row must fail, as it finds another beta or nothing to find."""
    monkeypatch.setattr(
        mistakes,
        "MISTAKES",
        (dataclasses.replace(mistake, loss=lambda d: (mistake.right(d) + handwritten.kl(d.m, d.s)).mean()),),
    )
    assert fails("9", case) == [mistake.name]


def test_a_weighted_elbo_is_priced_at_its_weight(case, monkeypatch):
    def loss(d):
        return 3 * (handwritten.cross_entropy(d.logits, d.x) + 7 * handwritten.kl(d.m, d.s)).mean()

    monkeypatch.setattr(mistakes, "MISTAKES", (Mistake("seven", loss, lambda p, k, b: 7),))
    assert not fails("9", case)
    monkeypatch.setattr(mistakes, "MISTAKES", (Mistake("seven", loss, lambda p, k, b: 7.001),))
    assert fails("9", case) == ["seven"]


def test_the_statistical_check_has_the_power_and_the_rate_it_states():
    draws = torch.randn(400, 200, dtype=torch.float64)
    assert all(same_mean("", "", "", row, 0.0).holds for row in draws)
    assert not any(same_mean("", "", "", row, 0.65).holds for row in draws), "nine standard errors off"
    assert not same_mean("", "", "", draws[0] * torch.nan, 0.0).holds


def test_relative_difference():
    one, zero = torch.tensor([2.0, 1.0]), torch.zeros(2)
    assert relative(one, one) == 0
    assert relative(zero, zero) == 0
    assert relative(one, zero) == 1
    assert relative(torch.tensor([100.0]), torch.tensor([99.0])) == pytest.approx(0.01)


SMALL = ["--hidden", "16", "--latent", "4", "--batch", "32"]


@pytest.mark.parametrize("options", [[], ["--beta", "4", "--guide.head", "softplus"]])
def test_the_command_shows_the_chain(options, capsys, tmp_path):
    assert main(["losses", *SMALL, *options, "--json", str(tmp_path / "rows.json")]) == 0
    out = capsys.readouterr().out
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert f"{len(rows)} of {len(rows)} hold" in out
    assert sorted({row["step"] for row in rows}) == list(STEPS)
    assert all(row["holds"] for row in rows)


def test_a_broken_link_is_an_exit_code(monkeypatch, capsys):
    monkeypatch.setattr(handwritten, "kl", lambda m, s: (m * torch.nan).sum(-1))
    assert main(["losses", *SMALL]) == 1
    assert "FAILS" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("prior", "guide"),
    [("Mixture", "FullNormal"), ("TwoLevel", "TwoLevelNormal"), ("SplineFlow", "Flow"), ("Bernoulli", "Bernoulli")],
)
def test_parts_without_a_formula_are_spelt_out(prior, guide, capsys, monkeypatch):
    parts = ["--prior", prior, "--guide", guide, "--elbo", "Trace_ELBO", "--beta", "2"]
    assert main(["losses", *SMALL, *parts]) == 0
    out = capsys.readouterr().out
    assert "nobody writes a loss by hand" in out
    assert f"{1 if guide == 'Bernoulli' else 2} of" in out
    original = chain.Case.gradient
    monkeypatch.setattr(
        chain.Case,
        "gradient",
        lambda self, loss, **k: original(
            self, lambda: loss() * (1 if "objective" in loss.__code__.co_freevars else 1.001), **k
        ),
    )
    assert main(["losses", *SMALL, *parts]) == 1


@pytest.mark.parametrize(
    "likelihood", [c.__name__ for c in CHOICES["likelihood"] if c.__name__ in ("Normal", "Binomial")]
)
def test_other_likelihoods_are_spelt_out(likelihood, capsys):
    assert main(["losses", *SMALL, "--likelihood", likelihood]) == 0
    assert "2 of 2 hold" in capsys.readouterr().out


def test_a_run_is_compared_at_its_own_parameters(small, tmp_path, capsys):
    assert train.main([*small, "--epochs", "2", "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert main(["losses", str(tmp_path / "run")]) == 0
    trained = capsys.readouterr().out
    assert "trained model" in trained
    assert main(["losses", *[o for o in small if o not in ("--batch_size", "20")]]) == 0
    assert capsys.readouterr().out.splitlines()[3:] != trained.splitlines()[3:]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["losses", "nowhere"], 2, "holds no run"),
        (["losses", "--batch", "1"], 2, "batch"),
        (["losses", "--prior", "Gauss"], 2, "there is no Gauss; There are: "),
        (["loses"], 2, "losses"),
        ([], 2, "losses"),
    ],
)
def test_mistakes_get_one_message(arguments, code, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == code
    assert message in capsys.readouterr().err
