"""Many programs, all estimators: what was right, what was refused, what failed."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.elbolab.random_programs.claims import CLAIMS, Claim
from tests.elbolab.random_programs.comparison import (
    ANSWERED,
    CRASHED,
    FAILURES,
    REFUSED,
    RIGHT,
    UNKNOWN,
    WRONG,
    Answers,
    Effort,
    Outcome,
    compare,
)
from tests.elbolab.random_programs.program import Program

HEADING = "## On random programs"
BITS = frozenset({"Bernoulli", "OneHotCategorical"})
DISCRETE = BITS | {"Categorical"}
VERDICTS = (RIGHT, REFUSED, UNKNOWN, *FAILURES)


@dataclass
class Survey:
    """Counts of verdicts by estimator, and the outcomes that failed."""

    counts: Counter = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)
    kinds: Counter = field(default_factory=Counter)  # of the programs

    @property
    def programs(self) -> int:
        return self.kinds.total()

    def add(self, outcome: Outcome) -> None:
        self.counts[outcome.claim.label, outcome.verdict] += 1
        if outcome.failed:
            self.failures.append(outcome)

    def total(self, *verdicts: str) -> int:
        """How many pairs of an estimator and a program had one of these verdicts."""
        return sum(count for (_, verdict), count in self.counts.items() if verdict in verdicts)

    def page(self, seed: int) -> str:
        """The section of the documentation."""
        last = seed + self.programs - 1
        return f"""{HEADING}

{self.programs} random programs (`python -m tests.elbolab.random_programs --programs {self.programs} --seed {seed}`,
seeds {seed} to {last}) with {len(dict(self.counts.keys()))} estimators and options: {self.total(*VERDICTS)} pairs.
{self.total(RIGHT)} are right: value and every gradient agree with the exact ones. {self.total(REFUSED)} are refused by
name before the first number. {self.total(UNKNOWN)} are answered, and the exact value would take too long to compute.
Silently wrong: {self.total(WRONG, ANSWERED)}; ended in an error that is no refusal: {self.total(CRASHED)}. The
programs' latents: {", ".join(f"{name} {count}" for name, count in self.kinds.most_common())}.

{self.table()}
"""

    def table(self) -> str:
        """In Markdown: a row per estimator, with the share of programs that it serves."""
        head = ["estimator", *VERDICTS, "served"]
        rows = [head, ["---"] * len(head)]
        for label in dict.fromkeys(label for label, _ in self.counts):
            counts = [self.counts[label, verdict] for verdict in VERDICTS]
            rows.append([label, *map(str, counts), f"{(counts[0] + counts[2]) / sum(counts):.0%}"])
        every = [self.total(verdict) for verdict in VERDICTS]
        rows.append(["all", *map(str, every), f"{(every[0] + every[2]) / sum(every):.0%}"])
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def kind(program: Program) -> str:
    """What its latents are."""
    families = {site.family for site in program.latents()}
    if not families & DISCRETE:
        return "continuous alone"
    if families <= BITS:
        return "bits or codes alone"
    return "categories among discrete ones alone" if families <= DISCRETE else "discrete beside continuous"


def answers(program: Program, effort: Effort) -> Answers:
    """With data repeated where that is the same as more draws."""
    return Answers(program, effort.copies if program.local() else 1)


def survey(
    programs: Iterable[Program],
    effort: Effort,
    claims: Sequence[Claim] = CLAIMS,
    tell: Callable[[Outcome], object] = str,
) -> Survey:
    """All claims on all programs; `tell` is called with what failed, when it does."""
    found = Survey()
    for program in programs:
        known = answers(program, effort)
        found.kinds[kind(program)] += 1
        for claim in claims:
            outcome = compare(claim, program, known, effort)
            found.add(outcome)
            if outcome.failed:
                tell(outcome)
    return found


def written(page: str, section: str) -> str:
    """A page with the section in the place of the one that it has, or at its end."""
    before, _, old = page.partition(HEADING)
    _, mark, after = old.partition("\n## ")
    return f"{before.rstrip()}\n\n{section}{mark}{after}"
