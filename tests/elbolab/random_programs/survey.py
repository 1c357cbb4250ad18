"""Many programs, all estimators: what was right, what was refused, what failed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.elbolab.random_programs.claims import CLAIMS, Claim
from tests.elbolab.random_programs.comparison import (
    FAILURES,
    REFUSED,
    RIGHT,
    UNKNOWN,
    Answers,
    Effort,
    Outcome,
    compare,
)
from tests.elbolab.random_programs.program import Program

VERDICTS = (RIGHT, REFUSED, UNKNOWN, *FAILURES)


@dataclass
class Survey:
    """Counts of verdicts by estimator, and the outcomes that failed."""

    counts: Counter = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.counts[outcome.claim.label, outcome.verdict] += 1
        if outcome.failed:
            self.failures.append(outcome)

    def table(self) -> str:
        """In Markdown: a row per estimator, with the share of programs that it serves."""
        head = ["estimator", *VERDICTS, "served"]
        rows = [head, ["---"] * len(head)]
        for label in dict.fromkeys(label for label, _ in self.counts):
            counts = [self.counts[label, verdict] for verdict in VERDICTS]
            rows.append([label, *map(str, counts), f"{(counts[0] + counts[2]) / sum(counts):.0%}"])
        every = [sum(n for (_, v), n in self.counts.items() if v == verdict) for verdict in VERDICTS]
        rows.append(["all", *map(str, every), f"{(every[0] + every[2]) / sum(every):.0%}"])
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def answers(program: Program, effort: Effort) -> Answers:
    """With data repeated where that is the same as more draws."""
    return Answers(program, effort.copies if program.local() else 1)


def survey(programs: Iterable[Program], effort: Effort, claims: Sequence[Claim] = CLAIMS) -> Survey:
    found = Survey()
    for program in programs:
        known = answers(program, effort)
        for claim in claims:
            found.add(compare(claim, program, known, effort))
    return found
