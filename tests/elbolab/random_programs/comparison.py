"""An estimator on a program: right, refused by name before its first number, or a failure that prints itself.

Three stages of fresh draws; a coordinate is wrong if its mean is off to the same side in all of them. Under the null
hypothesis that has a probability of 2 x 5e-4 x 5e-5 x 5e-5 for a coordinate, and not far out in the tails of any stage,
where the mean of many draws is no longer normal. A false alarm in four million coordinates has a probability of 1e-5.
"""

import math
import zlib
from dataclasses import dataclass
from functools import cached_property

import pyro
import torch
from scipy import stats
from torch import Tensor

from tests.elbolab.random_programs.claims import Bound, Claim
from tests.elbolab.random_programs.exact import GUIDE, MODEL, Exact, TooLarge
from tests.elbolab.random_programs.program import Program
from tests.elbolab.random_programs.source import Runnable, arguments, build, source

STAGES = ((12, 1e-3), (40, 1e-4), (160, 1e-4))
RARE = (20_000, 1e-4)  # where the draws of the last stage are all but the same: what is left may be rare and large
RIGHT, REFUSED, UNKNOWN, WRONG, CRASHED, ANSWERED = "right", "refused", "unknown", "wrong", "crashed", "answered"
FAILURES = (WRONG, CRASHED, ANSWERED)


CALL = """
import elbolab

estimator = elbolab.{name}({options})
losses = [float(estimator.loss_and_grads(model, guide, {arguments})) for _ in range(200)]
print("loss", sum(losses) / 200)
leaves = dict(pyro.get_param_store()._params)
for owner in (model, guide):
    if isinstance(owner, nn.Module):
        leaves |= dict(owner.named_parameters())
for name, leaf in leaves.items():
    print(name, None if leaf.grad is None else leaf.grad / 200)
"""


@dataclass(frozen=True)
class Effort:
    """How many draws one call averages, in copies of the data or particles; and calls where it cannot average."""

    draws: int = 1500
    calls: int = 8

    @property
    def copies(self) -> int:
        return self.draws // 2


@dataclass(frozen=True)
class Outcome:
    program: Program
    claim: Claim
    verdict: str
    detail: str = ""
    particles: int = 1
    copies: int = 1

    @property
    def failed(self) -> bool:
        return self.verdict in FAILURES

    def __str__(self) -> str:
        """What is wrong, and code that shows it."""
        constructor = self.claim.arguments(self.particles, self.program.vectorize)
        options = ", ".join(f"{key}={value!r}" for key, value in constructor.items())
        found = "\n".join(f"# {line}" for line in self.detail.splitlines())
        text = source(self.program, self.copies) + CALL.format(
            name=self.claim.name, options=options, arguments=arguments(self.program)
        )
        return f"# {self.claim.label} on {self.program.name}: {self.verdict}\n{found}\n{text}"


@dataclass(frozen=True)
class Target:
    """What is compared: names of coordinates, exact values, how exact they are, which of them are claimed."""

    names: list[str]
    exact: Tensor
    error: Tensor
    claimed: Tensor


class Answers:
    """The exact answers of one program, computed when asked for, once."""

    def __init__(self, program: Program, copies: int = 1):
        self.program, self.copies = program, copies
        self.found: dict = {}

    @cached_property
    def evaluators(self) -> tuple[Exact, Exact]:
        return Exact(self.program, self.copies), Exact(self.program, self.copies, nodes=0.8)

    def targets(self, claim: Claim) -> list[Target]:
        """One per choice of units."""
        return [self.target(claim, units) for units in (self.program.units if claim.multisample else ((),))]

    def target(self, claim: Claim, units: tuple[str, ...]) -> Target:
        fine, coarse = (self.vector(which, claim, units) for which in (0, 1))
        names, claimed = ["loss"], [True]
        alone = self.program.used(self.program.model) - self.program.used(self.program.guide)
        for name, parameter in self.program.parameters.items():
            names += [f"{name}{list(i) or ''}" for i in _indices(parameter.value)]
            claimed += [claim.guide is not None or name in alone] * parameter.value.numel()
        return Target(names, fine, (fine - coarse).abs(), torch.tensor(claimed))

    def vector(self, which: int, claim: Claim, units: tuple[str, ...]) -> Tensor:
        """The loss and its gradients, flattened."""
        value = sum(weight * self.bound(which, k, units)[0] for k, weight in claim.value.items())
        gradient = self.gradient(which, claim.model, units, MODEL)
        gradient = gradient + self.gradient(which, claim.guide or claim.value, units, GUIDE)
        return -torch.cat([value[None], gradient])

    def gradient(self, which: int, bound: Bound, units: tuple[str, ...], side: int) -> Tensor:
        return sum(weight * self.bound(which, k, units)[1 + side] for k, weight in bound.items())

    def bound(self, which: int, k: tuple[int, float], units: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """The value of a bound, and its gradients with respect to the model's leaves and the guide's."""
        key = (which, k, units)
        if key not in self.found:
            exact = self.evaluators[which]
            value = exact.elbo() if k[0] == 1 else exact.bound(k[0], units, k[1])
            leaves = [leaf for side in exact.leaves for leaf in side.values()]
            found = (
                torch.autograd.grad(value, leaves, allow_unused=True, retain_graph=True)
                if value.requires_grad
                else [None] * len(leaves)
            )
            flat = [(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(leaves, found, strict=True)]
            half = len(flat) // 2
            empty = [torch.zeros(0).double()]
            self.found[key] = (value.detach(), torch.cat(empty + flat[:half]), torch.cat(empty + flat[half:]))
        return self.found[key]


def _indices(value: Tensor) -> list[tuple[int, ...]]:
    return [tuple(row) for row in torch.ones_like(value).nonzero().tolist()] if value.dim() else [()]


class Objective:
    """An estimator on a running program, and its gradient as one vector a draw."""

    def __init__(self, estimator, runnable: Runnable):
        self.estimator, self.runnable, self.call = estimator, runnable, runnable.program.call
        self.module = estimator(runnable.model, runnable.guide) if self.call == "forward" else None

    def loss(self) -> float:
        run = self.runnable
        return float(self.estimator.loss(run.model, run.guide, *run.args, **run.keywords))

    def draw(self) -> Tensor:
        run = self.runnable
        for parameter in pyro.get_param_store()._params.values():
            parameter.grad = None
        for owner in (run.model, run.guide, self.estimator):
            if isinstance(owner, torch.nn.Module):
                owner.zero_grad()
        if self.call == "forward":
            loss = self.module(*run.args, **run.keywords)
            loss.backward()
        elif self.call == "differentiable_loss":
            loss = self.estimator.differentiable_loss(run.model, run.guide, *run.args, **run.keywords)
            loss.backward()
        else:
            loss = self.estimator.loss_and_grads(run.model, run.guide, *run.args, **run.keywords)
        gradients = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in run.parameters().values()]
        return torch.cat([torch.as_tensor(loss).detach().double().reshape(1), *gradients]).detach()

    def learn(self, steps: int = 25) -> None:
        """What the estimator learns itself is trained; model and guide stand still."""
        optimizer = None
        for _ in range(steps):
            self.draw()
            parameters = list(self.estimator.parameters())
            if not parameters:
                return
            optimizer = optimizer or torch.optim.Adam(parameters, lr=0.05)
            optimizer.step()


def particles_for(claim: Claim, program: Program, copies: int, effort: Effort) -> int:
    """Many, where data cannot be repeated instead."""
    return claim.least if copies > 1 or not program.vectorize else max(claim.least, effort.draws)


def compare(claim: Claim, program: Program, answers: Answers, effort: Effort, estimator=None) -> Outcome:
    """The verdict on one pair. An `estimator` that has been used on other programs may be given."""
    copies = answers.copies
    pyro.set_rng_seed(zlib.crc32(f"{program.name} {claim.label}".encode()))
    particles = particles_for(claim, program, copies, effort)
    runnable = build(program, copies)

    def outcome(verdict: str, detail: str = "") -> Outcome:
        return Outcome(program, claim, verdict, detail, particles, copies)

    try:
        if estimator is None:
            estimator = claim.make(particles, program.vectorize)
        objective = Objective(estimator, runnable)
        first = objective.draw()
    except Exception as error:
        if isinstance(error, ValueError) and claim.name in str(error):
            return _loss_of_refused(claim, answers, runnable, estimator, outcome, str(error))
        return outcome(CRASHED, f"{type(error).__name__}: {error}")
    reason = program.refuse or (claim.multisample and program.refuse_multisample)
    if reason:
        return outcome(ANSWERED, f"loss {first[0]:.5f} where none is defined: {reason}")
    try:
        targets = answers.targets(claim)
    except TooLarge as error:
        return outcome(UNKNOWN, str(error))
    repeats = effort.calls if copies == 1 and (not claim.free or not program.vectorize) else 1
    try:
        if claim.learns:
            objective.learn()
        faults = [_fault(objective, target, repeats) for target in targets]
    except Exception as error:
        return outcome(CRASHED, f"after its first number: {type(error).__name__}: {error}")
    if all(faults):
        return outcome(WRONG, faults[0])
    return outcome(RIGHT)


def _loss_of_refused(claim, answers, runnable, estimator, outcome, reason: str) -> Outcome:
    """What has no gradient may have a value, but no wrong one: `loss` refuses too, or is right."""
    if estimator is None:
        return outcome(REFUSED, reason)
    program = runnable.program
    objective = Objective(estimator, runnable)
    try:
        first = objective.loss()
    except ValueError as error:
        return outcome(REFUSED, reason) if claim.name in str(error) else outcome(CRASHED, f"loss: {error}")
    except Exception as error:
        return outcome(CRASHED, f"loss: {type(error).__name__}: {error}")
    if program.refuse or (claim.multisample and program.refuse_multisample):
        return outcome(ANSWERED, f"loss() {first:.5f} though refused: {reason}")
    try:
        faults = [_fault(objective, target, 1, loss_only=True) for target in answers.targets(claim)]
    except TooLarge:
        return outcome(REFUSED, reason)
    return outcome(WRONG, f"loss() though refused ({reason}): {faults[0]}") if all(faults) else outcome(REFUSED, reason)


def _fault(objective: Objective, target: Target, repeats: int, loss_only: bool = False) -> str:
    """What is wrong, in words; empty if nothing is."""
    exact, error, claimed = target.exact, target.error, target.claimed
    if loss_only:
        exact, error, claimed = exact[:1], error[:1], claimed[:1]
    side, draws = torch.zeros_like(exact), torch.zeros(1, len(exact))
    for stage, (calls, chance) in enumerate((*STAGES, RARE)):
        if stage == len(STAGES):
            if not (_alike(draws) & side.bool()).any():
                break
            calls //= repeats
        draw = (lambda: torch.tensor([objective.loss()]).double()) if loss_only else objective.draw
        draws = torch.stack([draw() for _ in range(calls * repeats)])
        if not loss_only and not stage and (fault := _fault(objective, target, 1, loss_only=True)):
            return f"loss(): {fault}"
        score = _scores(draws, exact, error)
        limit = stats.t.isf(chance / 2, len(draws) - 1)
        off = torch.where(score.abs() > limit, score.sign(), 0.0) * claimed
        side = off if not stage else torch.where(off == side, side, 0.0)
        if not side.any():
            return ""
    mean, spread = draws.mean(0), draws.std(0) / math.sqrt(len(draws))
    rows = [
        f"    {target.names[i]}: exact {exact[i]:.5f}, found {mean[i]:.5f} +- {spread[i]:.5f}"
        for i in side.nonzero()[:, 0].tolist()
    ]
    return "\n".join(rows)


def _alike(draws: Tensor) -> Tensor:
    """The coordinates of which fewer draws than twenty differ: their deviation says little about the mean's."""
    middle = draws.median(0).values
    return ((draws - middle).abs() > 1e-9 * (1 + middle.abs())).sum(0) < 20


def _scores(draws: Tensor, exact: Tensor, error: Tensor) -> Tensor:
    """How many standard errors every coordinate is off, beyond what the quadrature may be."""
    off = draws.mean(0) - exact
    allowed = 2 * error + 1e-7 * (1 + exact.abs())
    spread = draws.std(0) / math.sqrt(len(draws))
    beyond = (off.abs() - allowed).clamp(min=0.0) * off.sign()
    return (beyond / spread).nan_to_num(nan=0.0, posinf=1e9, neginf=-1e9) + torch.where(
        draws.isfinite().all(0), 0.0, 1e9
    )
