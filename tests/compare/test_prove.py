"""Every claim is an identity, every wrong loss leaves a residual, and every operation means what it does."""

import json

import numpy as np
import pytest
import sympy as sp
import torch
import torch.nn.functional as F

from compare import handwritten
from compare.__main__ import main
from compare.prove import command
from compare.prove import theorems as prove
from compare.prove.small_vae import Programs
from elbolab.estimators import pathwise
from elbolab.graph.trace import operations
from elbolab.symbolic.interpret import KNOWN, OPERATIONS, UnknownOperation, exact, read, symbols
from elbolab.symbolic.simplify import expectation, in_line, simplest

THEOREMS = {theorem.__name__: theorem for theorem in prove.THEOREMS}


def claims(name, size=2):
    return list(THEOREMS[name](Programs(size)))


@pytest.mark.parametrize("name", THEOREMS)
def test_every_claim_is_an_identity(name):
    found = claims(name)
    assert found
    assert [claim.residual for claim in found if not claim.holds] == []


@pytest.mark.parametrize("size", [1, 3])
def test_they_hold_at_other_sizes(size):
    assert all(claim.holds for name in ("analytic", "sampled") for claim in claims(name, size))


def kl_terms(m, s):
    return 1 + s - m.pow(2) - s.exp()


MUTANTS = [
    ("likelihood", "cross_entropy", lambda o, x: F.binary_cross_entropy_with_logits(-o, x, reduction="none").flatten(1).sum(1)),
    ("likelihood", "cross_entropy", lambda o, x: F.binary_cross_entropy_with_logits(o, x, reduction="none").flatten(1).sum(1) / 2),
    ("divergence", "kl", lambda m, s: -kl_terms(m, s).sum(-1)),
    ("divergence", "kl", lambda m, s: 0.5 * kl_terms(m, s).sum(-1)),
    ("divergence", "kl", lambda m, s: handwritten.kl_of_log_deviation(m, s)),
    ("divergence", "entropy", lambda s: 0.5 * s.sum(-1)),
    ("analytic", "kl", lambda m, s: -0.5 * kl_terms(m, s).sum(-1) / m.shape[-1]),
    ("analytic", "kl", lambda m, s: -0.5 * kl_terms(m.detach(), s).sum(-1)),
    ("analytic", "reparameterize", lambda m, s, e: m + s.exp() * e),
    ("sampled", "sampled_kl", lambda z, m, s: 0.5 * (z.pow(2) - s - (z - m).pow(2) / s.exp()).sum(-1) * 2),
    ("sampled", "sampled_kl", lambda z, m, s: -handwritten.kl(m, s)),
    ("variations", "kl_of_log_deviation", lambda m, t: (0.5 * (m.pow(2) + t.exp() - 1) - t).sum(-1)),
    ("variations", "kl_of_softplus", lambda m, h: (0.5 * (m.pow(2) + h.pow(2) - 1) - h.log()).sum(-1)),
    ("three_forms", "kl", lambda m, s: -0.5 * (2 + s - m.pow(2) - s.exp()).sum(-1)),
]  # fmt: skip


@pytest.mark.parametrize(("theorem", "name", "mutant"), MUTANTS)
def test_a_wrong_loss_leaves_a_residual(theorem, name, mutant, monkeypatch):
    monkeypatch.setattr(handwritten, name, mutant)
    failed = [claim for claim in claims(theorem) if not claim.holds]
    assert failed
    assert "the difference is" in command.line(failed[0])
    assert failed[0].residual.free_symbols or failed[0].residual.is_number


def test_a_wrong_gradient_alone_is_seen(monkeypatch):
    """The value is right for every x; only what autograd makes of it is not."""
    monkeypatch.setattr(handwritten, "kl", lambda m, s: -0.5 * (kl_terms(m, s) + m.pow(2) - m.detach().pow(2)).sum(-1))
    failed = [claim.left for claim in claims("analytic") if not claim.holds]
    assert failed == ["  its gradient in m, s and w"]


def test_an_unweighted_side_is_seen(monkeypatch):
    original = Programs._weighted

    def one_sided(self, w, beta):
        model = original(self, w, beta)
        model.beta = torch.ones_like(beta)
        return model

    monkeypatch.setitem(prove.Programs.objective.__globals__["VARIATIONS"], "beta", one_sided)
    failed = [claim.left for claim in claims("variations") if not claim.holds]
    assert failed == ["Trace_ELBO, beta on both sides"], "TraceMeanField_ELBO looks at the guide alone"


def test_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "SIZES", {1: (prove.analytic, prove.sampled)})
    assert main(["prove", "--json", str(tmp_path / "claims.json")]) == 0
    out = capsys.readouterr().out
    assert "6 of 6 claims are identities" not in out
    assert "7 of 7 claims are identities" in out
    assert "(1 - e^s₁)²/2" in out
    assert all(claim["holds"] for claim in json.loads((tmp_path / "claims.json").read_text()))
    assert main(["prove", "--latex"]) == 0
    assert r"\left(e^{s_{1}} - 1\right)" in capsys.readouterr().out
    monkeypatch.setattr(handwritten, "kl", lambda m, s: -kl_terms(m, s).sum(-1))
    assert main(["prove", "--latex"]) == 1
    assert r"\frac" in capsys.readouterr().out


def test_an_unknown_operation_is_named_and_nothing_is_claimed(capsys, monkeypatch):
    monkeypatch.setattr(handwritten, "kl", lambda m, s: torch.erf(m).sum(-1))
    with pytest.raises(SystemExit) as stopped:
        main(["prove"])
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert "aten::erf" in said.err
    assert "identities" not in said.out


# -- the meaning of every operation, against the operation ---------------------------------------------------------


def t(*shape):
    return torch.rand(*shape, dtype=torch.float64) + 0.1


PROGRAMS = {
    "add": (lambda a, b: a + b, t(2, 3), t(3)),
    "add_": (lambda a, b: a.clone().add_(b), t(2, 3), t(3)),
    "sub": (lambda a, b: a - b, t(2, 3), t(3)),
    "rsub": (lambda a: 2.5 - a, t(3)),
    "mul": (lambda a, b: a * b, t(2, 3), t(3)),
    "div": (lambda a, b: a / b, t(2, 3), t(3)),
    "neg": (lambda a: -a, t(3)),
    "pow": (lambda a: a**3, t(3)),
    "reciprocal": (lambda a: a.reciprocal(), t(3)),
    "mm": (lambda a, b: a @ b, t(2, 3), t(3, 2)),
    "exp": (lambda a: a.exp(), t(3)),
    "log": (lambda a: a.log(), t(3)),
    "sqrt": (lambda a: a.sqrt(), t(3)),
    "sigmoid": (lambda a: a.sigmoid(), t(3)),
    "softplus": (lambda a: F.softplus(a), t(3)),
    "sum": (lambda a: a.sum(1) + a.sum() + a.sum((0, 1), keepdim=True)[0], t(2, 3)),
    "mean": (lambda a: a.mean(1) + a.mean() + a.mean((0, 1), keepdim=True)[0], t(2, 3)),
    "t": (lambda a: a.t(), t(2, 3)),
    "transpose": (lambda a: a.transpose(0, 2), t(2, 3, 4)),
    "permute": (lambda a: a.permute(2, 0, 1), t(2, 3, 4)),
    "view": (lambda a: a.view(6), t(2, 3)),
    "_unsafe_view": (lambda a: torch.ops.aten._unsafe_view(a, [3, 2]), t(2, 3)),
    "expand": (lambda a: a.expand(4, -1, 3), t(2, 1)),
    "unsqueeze": (lambda a: a.unsqueeze(-1) + a.unsqueeze(0), t(3)),
    "squeeze": (lambda a: a.squeeze(1), t(2, 1, 3)),
    "select": (lambda a: a[:, 1], t(2, 3)),
    "slice": (lambda a: a[:, 1:3], t(2, 4)),
    "zeros": (lambda a: a + torch.zeros(3, dtype=torch.float64), t(3)),
    "ones": (lambda a: a + torch.ones(3, dtype=torch.float64), t(3)),
    "zeros_like": (lambda a: a + torch.zeros_like(a), t(3)),
    "ones_like": (lambda a: a + torch.ones_like(a), t(3)),
    "full": (lambda a: a + torch.full((3,), 0.25, dtype=torch.float64), t(3)),
    "full_like": (lambda a: a + torch.full_like(a, 0.25), t(3)),
    "scalar_tensor": (lambda a: a + torch.ops.aten.scalar_tensor(0.5, dtype=torch.float64), t(3)),
    "detach": (lambda a: a.detach() * 2, t(3)),
    "clone": (lambda a: a.clone(), t(3)),
    "alias": (lambda a: torch.ops.aten.alias(a), t(3)),
    "_to_copy": (lambda a: torch.ops.aten._to_copy(a, dtype=torch.float64), t(3)),
    "lift_fresh_copy": (lambda a: a * torch.tensor([1.5, 2.5, 3.5], dtype=torch.float64), t(3)),
    "unbind": (lambda a: a.unbind(1)[2], t(2, 3)),
    "getitem": (lambda a: a.unbind(0)[1], t(2, 3)),
    "stack": (lambda a, b: torch.stack([a, b], 1), t(3), t(3)),
    "cat": (lambda a, b: torch.cat([a, b], 1), t(2, 3), t(2, 1)),
    "binary_cross_entropy_with_logits": (lambda a, x: F.binary_cross_entropy_with_logits(a, x), t(2, 3), t(2, 3)),
    "binary_cross_entropy": (lambda y, x: F.binary_cross_entropy(y / 2, x / 2, reduction="sum"), t(2, 3), t(2, 3)),
}
WITHOUT_A_VALUE = {"empty", "empty_like"}  # what they hold is overwritten before it is read


def test_a_score_that_is_not_left_out_leaves_a_residual(monkeypatch):
    monkeypatch.setattr(pathwise, "detached", lambda values: values)
    assert not all(claim.holds for claim in claims("landing"))


def test_every_operation_is_tested():
    assert set(PROGRAMS) == set(OPERATIONS) - WITHOUT_A_VALUE


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_operation_means_what_it_does(name):
    function, *values = PROGRAMS[name]
    inputs = [symbols("abc"[i], *value.shape) for i, value in enumerate(values)]
    graph = operations(function, *values)
    used = {
        getattr(n.target, "_schema", None) and n.target._schema.name.split("::")[1] or n.target.__name__
        for n in graph.graph.nodes
        if n.op == "call_function"
    }
    assert name in used, f"the program does not use it, but {used}"
    (result,) = read(graph, inputs)
    point = {
        s: v
        for array, value in zip(inputs, values, strict=True)
        for s, v in zip(array.ravel(), value.ravel().tolist(), strict=True)
    }
    found = np.vectorize(lambda e: float(sp.sympify(e).subs(point)))(result)
    expected = function(*values).numpy()
    assert np.shape(result) == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12)


MEANINGFUL = {
    "alpha of add": (lambda a, b: torch.add(a, b, alpha=3), t(3), t(3)),
    "alpha of sub": (lambda a, b: torch.sub(a, b, alpha=3), t(3), t(3)),
    "alpha of rsub": (lambda a, b: torch.rsub(a, b, alpha=3), t(3), t(3)),
    "pos_weight": (lambda a, x, p: F.binary_cross_entropy_with_logits(a, x, pos_weight=p), t(2, 3), t(2, 3), t(3)),
    "weight": (
        lambda a, x, w: F.binary_cross_entropy_with_logits(a, x, weight=w, reduction="sum"),
        t(2, 3),
        t(2, 3),
        t(2, 3),
    ),
    "weight of probabilities": (
        lambda y, x, w: F.binary_cross_entropy(y / 2, x / 2, weight=w),
        t(2, 3),
        t(2, 3),
        t(2, 3),
    ),
}


@pytest.mark.parametrize("name", MEANINGFUL)
def test_arguments_that_matter_are_not_passed_over(name):
    function, *values = MEANINGFUL[name]
    inputs = [symbols("abc"[i], *value.shape) for i, value in enumerate(values)]
    (result,) = read(operations(function, *values), inputs)
    point = {
        s: v
        for array, value in zip(inputs, values, strict=True)
        for s, v in zip(array.ravel(), value.ravel().tolist(), strict=True)
    }
    found = np.vectorize(lambda e: float(sp.sympify(e).subs(point)))(result)
    np.testing.assert_allclose(found, function(*values).numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    "function",
    [lambda a: torch.div(a, 2, rounding_mode="floor"), lambda a: a.to(torch.int64), lambda a: a.clamp(0, 1)],
)
def test_what_changes_the_meaning_is_not_passed_over(function):
    with pytest.raises(UnknownOperation):
        read(operations(function, t(3)), [symbols("a", 3)])


def test_draws_of_another_scale_are_scaled():
    graph = operations(lambda a: a + torch.empty_like(a).normal_(2.0, 0.5), t(1))
    (result,) = read(graph, [symbols("a", 1)])
    a, e1 = sp.symbols("a e1", real=True)
    assert sp.expand(result[0] - (a + 2 + e1 / 2)) == 0


def test_draws_are_symbols_of_their_own():
    graph = operations(lambda a: a * torch.empty_like(a).normal_() + torch.empty_like(a).normal_(), t(2))
    (result,) = read(graph, [symbols("a", 2)])
    a1, a2, e1, e2, e3, e4 = sp.symbols("a1 a2 e1 e2 e3 e4", real=True)
    assert list(result) == [a1 * e1 + e3, a2 * e2 + e4]


def test_numbers_are_what_they_stand_for():
    assert exact(0.5) == sp.Rational(1, 2)
    assert exact(-0.25) == sp.Rational(-1, 4)
    assert exact(3) == 3
    for number, meaning in KNOWN.items():
        assert float(meaning) == pytest.approx(number, abs=1e-15)
        assert exact(-number) == -meaning


def test_expectations_are_gaussian_moments():
    e1, e2, m = sp.symbols("e1 e2 m", real=True)
    assert expectation(m * e1**2 + e2 + e1 * e2 + e2**4) == m + 3
    assert expectation((e1**2 - 1) ** 2) == 2
    assert expectation(m) == m
    with pytest.raises(ValueError, match="no polynomial"):
        expectation(sp.exp(e1))


def test_simplest_finds_what_is_zero_and_nothing_else():
    a, s = sp.symbols("a s", real=True)
    assert simplest(sp.log(sp.exp(s / 2)) - s / 2) == 0
    assert simplest(1 / (1 + sp.exp(-a)) - sp.exp(a) / (1 + sp.exp(a))) == 0
    assert simplest(sp.exp(s) - sp.exp(2 * s)) != 0


def test_lines_can_be_read():
    s, m = sp.symbols("s1 m12", real=True)
    assert in_line(m**2 * sp.exp(s) / 2) in ("m₁₂²·e^s₁/2", "e^s₁·m₁₂²/2")


def test_unknown_operations_are_not_guessed():
    with pytest.raises(UnknownOperation, match="aten::erf"):
        read(operations(torch.erf, t(2)), [symbols("a", 2)])
