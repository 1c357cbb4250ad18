"""Means over seeds, what they are uncertain by, and whether one row is below another."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.kept import Kept


class Claim(NamedTuple):
    """That the first of two rows has the smaller test -log p(x)."""

    lower: str
    higher: str
    text: str


class Answer(NamedTuple):
    """By how much the second row is above the first, in nats per datum, and the standard error of that."""

    difference: float
    error: float

    @property
    def word(self) -> str:
        """Holds or fails: beyond two standard errors; open: within them; of one seed each nothing is known of them."""
        if not self.error > 0:
            return "not known, one seed each"
        if abs(self.difference) <= 2 * self.error:
            return "open"
        return "holds" if self.difference > 0 else "fails"


def mean(records: Sequence[Kept], number: str = "nll") -> float:
    return sum(record.test[number] for record in records) / len(records)


def deviation(groups: Sequence[Sequence[Kept]], number: str = "nll") -> float:
    """Between seeds, pooled over rows of one data set and budget: sqrt(sum_rows sum_seeds (x - mean)^2 / sum (n - 1)).

    nan where no row has two seeds.
    """
    squares, count = 0.0, freedom(groups)
    for records in groups:
        centre = mean(records, number)
        squares += sum((record.test[number] - centre) ** 2 for record in records)
    return math.sqrt(squares / count) if count else math.nan


def freedom(groups: Sequence[Sequence[Kept]]) -> int:
    """How many seeds there are beyond the first of every row: what the deviation is known from."""
    return sum(len(records) - 1 for records in groups)


def answer(claim: Claim, results: Mapping[str, Sequence[Kept]], spread: float) -> Answer:
    """The claim beside what was measured; `spread` is the deviation between seeds."""
    lower, higher = results[claim.lower], results[claim.higher]
    return Answer(mean(higher) - mean(lower), spread * math.sqrt(1 / len(lower) + 1 / len(higher)))
