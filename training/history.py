"""What the lines of a run's history say: which split they were judged on, which is the best, how long ago it was.

A run that has a validation split is judged on it, and may choose by it: the best checkpoint, when to stop. Without one
the test set's -ELBO is shown after every epoch and nothing is chosen by it, so that it stays a fair estimate: the
result is the last epoch.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def judged_on(row: Row) -> str:
    """The split that a line's scores are of: validation, or test where the run has no such split."""
    return "validation" if "validation_loss" in row else "test"


def score(row: Row) -> float:
    """-ELBO of the split that the line was judged on, in nats per datum: the lower, the better."""
    return float(row[f"{judged_on(row)}_loss"])


def words(row: Row) -> str:
    """A line in short, for a progress bar."""
    return f"loss {row['loss']:.2f}, {judged_on(row)} -ELBO {score(row):.2f} nats per datum"


def best(history: Sequence[Row]) -> Row | None:
    """The line with the best validation -ELBO, the first of several; none where nothing may be chosen by a score."""
    found = [row for row in history if judged_on(row) == "validation" and math.isfinite(score(row))]
    return min(found, key=score, default=None)


def waited(history: Sequence[Row]) -> int:
    """How many epochs have passed since the best one, or since the start where none is finite."""
    found = best(history)
    return len(history) - (history.index(found) + 1 if found else 0)
