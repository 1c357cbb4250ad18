"""What a loss differs from the ELBO by, in closed form: the loss is traced and read over SymPy where it can be.

One pixel and one latent are symbols, all others stand still: what the loss does with them is its reconstruction and its
KL, term by term. The pixel's probability is o / (1 + o), o its odds.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp
import torch

from elbolab.auditing.heads import HEADS, ROLES, Head
from elbolab.auditing.probe.loss import Loss
from elbolab.auditing.probe.points import Layout, draw
from elbolab.graph.trace import operations
from elbolab.symbolic.interpret import Array, read
from elbolab.symbolic.simplify import expectation, in_line, noise_of, simplest

SLOTS = ("output", "x", "mu", "head")
LONGEST = 160  # a line that nobody would read is left out
ODDS, S = sp.Symbol("o", positive=True), sp.Symbol("s", real=True)
X, M = sp.symbols("x m", real=True)
HALF = sp.Rational(1, 2)


def _kl(head: Head, s: sp.Symbol) -> sp.Expr:
    """KL(N(m, v) || N(0, 1)) for a second head s."""
    v = head.variance(s, sp)
    return HALF * (M**2 + v - 1 - sp.expand_log(sp.log(v), force=True))


def residual(loss: Loss, layout: Layout, head: str) -> str | None:
    """loss - (BCE + KL of this head), summed, as a line of algebra; None where the loss cannot be traced or read."""
    meant = HEADS[head] if head in ROLES else HEADS["logvar"]
    still = int(meant.neutral)
    s = S if meant.real else sp.Symbol("s", positive=True)
    if set(SLOTS) - set(loss.slots) or "z" in loss.slots or layout.class_axis is not None:
        return None
    pixel = ODDS / (1 + ODDS) if layout.output == "unit" else sp.log(ODDS)
    at_rest = {ODDS: 1, X: 0, M: 0, s: still}
    try:
        expression = _read(loss, layout, {"output": pixel, "x": X, "mu": M, "head": s}, at_rest)
        return _said(expression, _kl(meant, s), at_rest, layout)
    except Exception:  # code that does not trace, or that no algebra can read: the numbers say what there is to say
        return None


def _read(loss: Loss, layout: Layout, first: dict[str, sp.Expr], at_rest: Mapping[Any, Any]) -> sp.Expr:
    point = draw(layout, 1)
    inputs = []
    for slot in SLOTS:
        values: Array = np.full(tuple(point[slot].shape), first[slot].subs(at_rest), object)
        values.flat[0] = first[slot]
        inputs.append(values)
    examples = [torch.as_tensor(point[slot]) for slot in SLOTS]
    graph = operations(lambda *tensors: loss.total(point | dict(zip(SLOTS, tensors, strict=True))), *examples)
    (expression,) = read(graph, inputs)
    return sp.sympify(np.asarray(expression).item())


def _said(expression: sp.Expr, kl: sp.Expr, at_rest: Mapping[Any, Any], layout: Layout) -> str | None:
    if noise_of(expression):
        expression = expectation(expression)
    pixel, latent = {ODDS, X}, set(at_rest) - {ODDS, X}

    def alone(symbols: set[sp.Symbol]) -> sp.Expr:
        others: Any = {symbol: value for symbol, value in at_rest.items() if symbol not in symbols}
        return _expanded(expression.subs(others) - expression.subs(at_rest))

    bce = sp.log(1 + ODDS) - X * sp.log(ODDS)
    terms = [_term(alone(pixel), bce - sp.log(2), "BCE", "per pixel"), _term(alone(latent), kl, "KL", "per latent")]
    if _expanded(expression - expression.subs(at_rest) - alone(pixel) - alone(latent)) != 0:
        return None  # the two halves are not a sum
    said = " + ".join(term for term in terms if term) or "a constant"
    line = f"loss - (BCE + KL) = {said}"
    return (
        f"{line}, at batch {layout.batch}, data {layout.data}, latent {layout.latent}" if len(said) <= LONGEST else None
    )


def _term(part: sp.Expr, reference: sp.Expr, name: str, each: str) -> str:
    """part - reference: a multiple of the reference where it is one, else what it is."""
    if part == 0:
        return f"-{name}"
    names = sorted(part.free_symbols | reference.free_symbols, key=str)
    points: list[Any] = [{symbol: sp.Rational(3 + i, 7 + 4 * k) for i, symbol in enumerate(names)} for k in range(3)]
    factors = [sp.N(part.subs(point) / reference.subs(point), 20) for point in points]
    if max(abs(factor - factors[0]) for factor in factors) > 1e-12:  # numbers first: to simplify what is not 0 is slow
        return f"[{in_line(_expanded(part - reference))}] {each}"
    factor = sp.nsimplify(factors[0], rational=True, tolerance=1e-12)
    if simplest(part - factor * reference) != 0:
        raise ValueError(f"{part} is {factor} {name} in numbers alone")
    return "" if factor == 1 else f"({factor} - 1) {name}"


def _expanded(expression: sp.Expr) -> sp.Expr:
    return sp.expand(sp.expand_log(expression, force=True))
