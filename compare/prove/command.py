"""`python -m compare prove`: every theorem at every size, as lines on screen and as JSON."""

from json import dumps
from pathlib import Path

import sympy as sp

from compare.prove.claims import Claim
from compare.prove.small_vae import Programs
from compare.prove.theorems import SIZES
from elbolab.symbolic.interpret import UnknownOperation
from elbolab.symbolic.simplify import in_line
from training import exits, refuse


def prove(*, latex: bool = False, json: Path | None = None) -> int:
    """Proves that Pyro's objectives are BCE + KL, from the operations they run; 0 when every claim holds, 1 when not.

    Args:
        latex: print formulas in LaTeX.
        json: also write the claims to this file.
    """
    claims = []
    with refuse(exits.CONFIGURATION, UnknownOperation):
        for size, theorems in SIZES.items():
            p = Programs(size)
            for theorem in theorems:
                first, *_ = theorem.__doc__.splitlines()
                print(f"\n{first}  [{p.described}]")
                for claim in theorem(p):
                    print(line(claim, latex), flush=True)
                    claims.append((claim, p.described))
    failed = [claim for claim, _ in claims if not claim.holds]
    print(f"\n{len(claims) - len(failed)} of {len(claims)} claims are identities")
    print("Sums over data, pixels and latents separate: what holds at one, two and three of each holds at any number.")
    if json:
        rows = [
            {
                "theorem": c.theorem,
                "sizes": at,
                "left": c.left,
                "right": str(c.right),
                "residual": str(c.residual),
                "holds": c.holds,
            }
            for c, at in claims
        ]
        json.write_text(dumps(rows, indent=2) + "\n")
    return 1 if failed else 0


def line(claim: Claim, latex: bool = False) -> str:
    """A claim as text, with its residual where it is not 0."""
    written = sp.latex if latex else in_line
    right = claim.right if isinstance(claim.right, str) else written(claim.right)
    verdict = "proved" if claim.holds else f"NOT PROVED, the difference is {written(claim.residual)}"
    return f"   {claim.left} = {right}:  {verdict}"
