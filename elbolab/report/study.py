"""A study of gradient estimators as one HTML file: its table sorted, its draws as clouds, variance against cost."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elbolab.report.constants import Constants
from elbolab.report.page import LIMIT, filled, page
from elbolab.studying.result import Result
from elbolab.studying.snr_slopes import family

HERE = Path(__file__).parent
_BITS = 8  # a dot lies within 1/256 of a standard deviation of where it belongs


def study_page(
    rows: Mapping[str, Sequence[Result]], *, title: str, notes: Sequence[str] = (), limit: int = LIMIT
) -> str:
    """The page of a study.

    Args:
        rows: what was measured, by the point of training.
        title: what was studied.
        notes: lines that are said above the table.
        limit: bytes that the file may take; with too many draws every second is left out, until it fits.

    Raises:
        ValueError: there are no results.
    """
    if not any(rows.values()):
        raise ValueError("a page of a study takes one result at least")
    body = filled(
        HERE / "templates/study.html",
        title=title,
        notes=" ".join(notes),
        replicates=str(max(r.replicates for found in rows.values() for r in found)),
    )
    every = 1
    while True:
        constants = Constants()
        points = [
            {"name": name, "results": [_plain(r, constants, every) for r in found]} for name, found in rows.items()
        ]
        text, index = constants.packed(_BITS)
        file = page(title, body, HERE / "js/study.js", {"points": points, "constants": index, "every": every}, text)
        if len(file.encode()) <= limit or every > 1024:
            return file
        every *= 2


def _plain(result: Result, constants: Constants, every: int) -> dict[str, Any]:
    """The numbers of a result, null where there is none, and where its cloud is."""
    values = {name: _finite(value) for name, value in result.as_dict().items()}
    draws = result.cloud.draws[::every]
    middle = draws.mean(0)
    cloud = {
        "coordinates": result.cloud.coordinates,
        "middle": [_finite(value) for value in middle.tolist()],
        "mark": [_finite(value) for value in result.cloud.mark],
        "exact": result.cloud.exact,
        "draws": constants.add(torch.as_tensor(np.nan_to_num(draws - middle), dtype=torch.float32)),
    }
    return values | {"family": family(result), "cloud": cloud}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
