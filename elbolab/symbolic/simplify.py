"""What is done with expressions: their simplest form, their mean over Gaussian noise, a line a person can read."""

import re

import sympy as sp


def simplest(expression: sp.Expr) -> sp.Expr:
    """Expanded, with logarithms taken apart, and simplified where that does not already give 0."""
    expanded = sp.expand(sp.expand_log(sp.sympify(expression), force=True))
    if expanded == 0:
        return sp.Integer(0)
    return sp.expand(sp.simplify(sp.expand(sp.expand_log(sp.simplify(expanded), force=True))))


def noise_of(expression: sp.Expr) -> list[sp.Symbol]:
    """The standard normal symbols e1, e2, ... in an expression."""
    symbols = [s for s in expression.free_symbols if isinstance(s, sp.Symbol)]
    return sorted((s for s in symbols if re.fullmatch(r"e\d+", s.name)), key=lambda s: s.name)


def expectation(expression: sp.Expr) -> sp.Expr:
    """The mean of a polynomial in independent standard normal symbols: E[e^n] = (n - 1)!! for even n, else 0.

    Raises:
        ValueError: the expression is no polynomial in its noise.
    """
    noise = noise_of(expression)
    if not noise:
        return simplest(expression)
    try:
        terms = sp.Poly(sp.expand(expression), *noise).terms()
    except sp.PolynomialError as error:
        raise ValueError(f"{expression} is no polynomial in its noise") from error
    moments = (coefficient * sp.prod([_moment(n) for n in powers]) for powers, coefficient in terms)
    return simplest(sum(moments))


def _moment(n: int) -> sp.Integer:
    return sp.Integer(0) if n % 2 else sp.factorial2(n - 1)


def in_line(expression: sp.Expr) -> str:
    """One line of Unicode: e^s₁ for exp(s1), squares as ²."""
    text = sp.sstr(expression)
    text = re.sub(r"exp\((\w+)\)", r"e^\1", text)
    text = re.sub(r"exp\(([^()]+)\)", r"e^(\1)", text)
    text = re.sub(r"\b([a-z])(\d+)\b", lambda m: m[1] + m[2].translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")), text)
    return text.replace("**2", "²").replace("**4", "⁴").replace("*", "·")
