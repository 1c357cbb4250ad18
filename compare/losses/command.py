"""Why BCE + KL is the ELBO: the derivation as a table of numbers, each of them checked."""

import textwrap
from json import dumps
from pathlib import Path

import pyro
import torch

from compare.losses import chain, expectation
from compare.losses.case import Case
from compare.losses.mistakes import mistakes
from compare.losses.rows import Row
from data.files import check_writable
from training import Experiment, RunFolder, refuse_mistakes

# The order of the derivation. For parts whose loss nobody writes by hand only what needs no formula is left.
WRITTEN = (
    chain.likelihood,
    chain.divergence,
    chain.analytic,
    chain.sampled,
    expectation.both_estimates,
    expectation.particles,
    expectation.three_forms,
    chain.heads,
    mistakes,
)


def losses(
    run: Path | None = None,
    *,
    batch: int = 128,
    json: Path | None = None,
    trust_code: bool = False,
    **experiment,  # noqa: ANN003
) -> int:
    """Shows, number by number, why BCE + KL is the ELBO; 0 when every number holds, 1 when one does not.

    Args:
        run: the folder of a trained run; without it, a fresh model from the options of train.py.
        batch: how many training data are compared on.
        json: also write the rows to this file.
        trust_code: let files name classes that are not this program's.
    """
    with refuse_mistakes():
        if batch < 2:
            raise ValueError(f"batch = {batch}: at least 2")
        if json:
            check_writable(json)
        lab = (
            Experiment.load(RunFolder(run), device=experiment.get("device", "auto"), trust=trust_code)
            if run
            else Experiment(**experiment)
        )
    pyro.enable_validation(False)
    chosen = torch.arange(min(batch, len(lab.dataset.train)), device=lab.device)
    case = Case(lab.model, lab.guide, lab.dataset.batch(chosen))
    rows = []
    print(f"{len(case.x)} data in float64, {'trained' if run else 'fresh'} model; values in nats per datum")
    for step in links(case):
        found = step(case)
        print("\n" + textwrap.fill(step.__doc__.splitlines()[0], 118))
        print("\n".join(map(line, found)), flush=True)
        rows += found
    failed = [row for row in rows if not row.holds]
    print(f"\n{len(rows) - len(failed)} of {len(rows)} hold")
    if json:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_text(dumps([row.as_dict() for row in rows], indent=2) + "\n")
    return 1 if failed else 0


def links(case: Case) -> tuple:
    """The steps that apply; says so where there is no hand-written formula to begin with."""
    if case.written:
        return WRITTEN
    parts = (case.model.prior, case.model.likelihood, case.guide.posterior)
    names = ", ".join(type(part).__name__ for part in parts)
    print(f"nobody writes a loss by hand for {names}: the sampled form is checked, spelt out from their densities")
    return (chain.spelt_out,)


def line(row: Row) -> str:
    """A row as text."""
    verdict = "holds" if row.holds else "FAILS"
    apart = {
        "relative": f"relative {row.apart:.1e}",
        "z": f"z {row.apart:.2f}",
        "missed": "missed" if row.apart else "seen",
    }[row.measure]
    sides = f"{row.left:36}{row.left_value:>14.8g} | {row.right:31}{row.right_value:>14.8g}"
    return f"   {sides}  {apart:17}{verdict}  {row.note}".rstrip()
