"""python -m tests.elbolab.random_programs --programs 100 --seed 0: the table, and every failure as code."""

import argparse
import logging
from pathlib import Path

import pyro
import torch

from tests.elbolab.random_programs.claims import CLAIMS
from tests.elbolab.random_programs.comparison import Effort
from tests.elbolab.random_programs.grammar import random_program
from tests.elbolab.random_programs.survey import survey, written


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the first program; the others follow")
    parser.add_argument("--draws", type=int, default=1500, help="averaged in one call")
    parser.add_argument("--only", nargs="*", default=None, help="labels of estimators")
    parser.add_argument("--page", type=Path, default=None, help="a page to write the table into, as its last section")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    torch.set_default_dtype(torch.float64)
    pyro.enable_validation(True)
    claims = [claim for claim in CLAIMS if options.only is None or claim.label in options.only]
    seeds = range(options.seed, options.seed + options.programs)
    found = survey(
        map(random_program, seeds), Effort(options.draws), claims, lambda fault: print(fault, end="\n\n", flush=True)
    )
    print(found.table())
    if options.page:
        options.page.write_text(written(options.page.read_text(), found.page(options.seed)))
    return int(bool(found.failures))


if __name__ == "__main__":
    raise SystemExit(main())
