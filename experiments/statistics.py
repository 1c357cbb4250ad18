"""Means over seeds, what they are uncertain by, and whether one row is below another."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scipy import special

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
    freedom: int

    @property
    def word(self) -> str:
        """Holds or fails: beyond what 19 of 20 draws of Student's t stay within; open: not; of one seed each, unknown.

        With many degrees of freedom that is two standard errors.
        """
        if not self.error > 0:
            return "not known, one seed each"
        if abs(self.difference) <= special.stdtrit(self.freedom, 0.975) * self.error:
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


def answer(claim: Claim, results: Mapping[str, Sequence[Kept]], spread: float, count: int) -> Answer:
    """The claim beside what was measured; `spread` is the deviation between seeds, from `count` degrees."""
    lower, higher = results[claim.lower], results[claim.higher]
    return Answer(mean(higher) - mean(lower), spread * math.sqrt(1 / len(lower) + 1 / len(higher)), count)
