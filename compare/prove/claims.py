"""A claim: two expressions whose difference has to simplify to 0."""

from dataclasses import dataclass

import numpy as np
import sympy as sp

from elbolab.symbolic.interpret import Array
from elbolab.symbolic.simplify import simplest


@dataclass(frozen=True)
class Claim:
    """left = right: `residual` is the difference of the two, which must be 0. The right is words, or a formula."""

    theorem: str
    left: str
    right: str | sp.Expr
    residual: sp.Expr

    @property
    def holds(self) -> bool:
        return self.residual == 0


def equal(theorem: str, left: str, right: str, a: list[Array], b: list[Array]) -> Claim:
    """Compares outputs one by one; the residual is the first that does not vanish."""
    pairs = (pair for one, other in zip(a, b, strict=True) for pair in zip(np.ravel(one), np.ravel(other), strict=True))
    differences = (simplest(p - q) for p, q in pairs)
    return Claim(theorem, left, right, next((d for d in differences if d != 0), sp.Integer(0)))
