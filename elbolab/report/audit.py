"""The verdict on a loss as one HTML file: its two terms, their weights against the sizes, what to change."""

import html
from pathlib import Path

from elbolab.auditing.report.advice import advice
from elbolab.auditing.report.verdict import Verdict
from elbolab.report.mathml import math
from elbolab.report.page import filled, page

HERE = Path(__file__).parent
_MEANS = {
    "beta": "the KL’s weight over the reconstruction’s",
    "sigma2": "the Gaussian’s variance at β = 1",
    "scale": "the loss is so many times the negative ELBO, summed over the batch, in nats",
    "offset": "and this much more, in the loss’s own units",
}


def audit_page(verdict: Verdict, *, name: str) -> str:
    """The page of an audit.

    Args:
        verdict: what `audit` said.
        name: of the loss, as it is to be shown.
    """
    body = filled(
        HERE / "templates/audit.html",
        name=name,
        kind=verdict.kind,
        what=verdict.kind.meaning,
        change=" ".join(advice(verdict)),
        tone="holds" if verdict.is_elbo else "fails",
        answer="This loss is an ELBO" if verdict.is_elbo else "This loss is not the ELBO",
        terms_html=_terms(verdict),
        numbers_html=_numbers(verdict),
        algebra_html=_algebra(verdict),
        notes_html="".join(f"<li>{html.escape(note)}</li>" for note in verdict.notes) or "<li>none</li>",
    )
    formulas = {term: verdict.reductions.get(term) for term in ("beta", "scale")}
    return page(f"Audit of {name}", body, HERE / "js/audit.js", {"formulas": formulas})


def _terms(verdict: Verdict) -> str:
    """Both halves, as they were recognised; what was not, says so."""
    divergence = f"KL(q ‖ p), second head {verdict.head}" if verdict.head else ""
    halves = {"reconstruction": verdict.likelihood or "", "kl": divergence}
    names = {"reconstruction": "reconstruction", "kl": "KL"}
    return "".join(
        f"<tr><th scope=row>{names[half]}</th><td>{html.escape(found or 'not recognised')}</td>"
        f"<td>{html.escape(verdict.reductions.get(half, ''))}</td></tr>"
        for half, found in halves.items()
    )


def _numbers(verdict: Verdict) -> str:
    rows = []
    for name, means in _MEANS.items():
        value = getattr(verdict, name)
        if value is None or (name == "offset" and value == 0):
            continue
        formula = math(verdict.reductions[name]) if name in verdict.reductions else ""
        cells = f"<td>{formula}</td><td class=number>{value:.6g}</td><td>{html.escape(means)}</td>"
        rows.append(f"<tr><th scope=row>{name}</th>{cells}</tr>")
    if not rows:
        return "<tr><td>No weights were identified.</td></tr>"
    at = html.escape(verdict.reductions.get("at", ""))
    head = "<tr><th></th><th>formula</th><th class=number>value</th><th>what it is</th></tr>"
    return head + "".join(rows) + (f"<caption class=quiet>values at {at}</caption>" if at else "")


def _algebra(verdict: Verdict) -> str:
    if not verdict.residual:
        return (
            "<p>The loss was not read as algebra: that is done for Bernoulli losses that can be traced, where it was"
            " asked for. What is said here rests on its numbers.</p>"
        )
    line, _, sizes = verdict.residual.partition(", at ")
    said = "" if not sizes else f"<p class=note>at {html.escape(sizes)}</p>"
    return f"<div role=region aria-label='the loss less BCE + KL' class=scroll>{math(line)}</div>{said}"
