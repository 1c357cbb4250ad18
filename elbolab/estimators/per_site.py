"""A different estimator for every latent: enumerated, pathwise or by the score function, in one bound."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor

from elbolab.estimators.base import Estimate, Estimator
from elbolab.estimators.conditions import CODES, DRAWN, PATHS, WHOLE_DATA, Condition, EveryLatent
from elbolab.estimators.enumeration import all_values
from elbolab.estimators.pathwise import detached
from elbolab.estimators.score import without_mean
from elbolab.programs.draw import Draw
from elbolab.programs.influence import Influence, untouched
from elbolab.programs.reading import Reading, undisturbed
from elbolab.programs.sites import latents, named, role

Choice = Literal["Enumeration", "Pathwise", "StickingTheLanding", "REINFORCE", "RLOO"]
_ASKS: dict[str, tuple[EveryLatent, ...]] = {
    "Enumeration": (CODES,),
    "Pathwise": PATHS,
    "StickingTheLanding": PATHS,
}


@dataclass(frozen=True)
class Plan:
    """What is done with each latent, all values of the enumerated ones, and what each draw by score can influence."""

    choices: Mapping[str, str]
    values: Mapping[str, Tensor]
    count: int
    untouched: Mapping[str, frozenset[str]]

    def by(self, *choices: str) -> list[str]:
        return [name for name, choice in self.choices.items() if choice in choices]


class PerSite(Estimator):
    """An estimator of its own for every latent of a guide.

    sum_v 1/K sum_k w log(p / q), v the values of enumerated latents, w their probability given the other draws.

    Enumeration sums a bit or code out, also where other latents depend on it: those are drawn for each of its values.
    Pathwise and StickingTheLanding take the derivative through the draw; REINFORCE and RLOO add (w f_s - b) d log q(s),
    f_s the terms of log(p / q) that the latent s can influence, alone (Schulman et al., 2015, Gradient Estimation Using
    Stochastic Computation Graphs, arXiv 1506.05254), b for RLOO the mean over the other draws with the same v. A choice
    is written in `sites`, or in the guide, `pyro.sample(..., infer={"estimator": "Enumeration"})`; without one it is
    Pathwise where there is a path, else RLOO, or REINFORCE for K = 1. Unbiased for the ELBO; K decoder evaluations for
    each of the values.
    """

    repeats = "guide"
    conditions: tuple[Condition, ...] = (WHOLE_DATA, DRAWN)

    def __init__(
        self, num_particles: int = 1, *, sites: Mapping[str, Choice] | None = None, limit: int = 2**12, **options: Any
    ) -> None:
        """
        Args:
            num_particles: K draws per datum, and value of what is enumerated.
            sites: an estimator by the latent's name, before what the guide says.
            limit: the most values that are summed over.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        self.sites, self.limit = dict(sites or {}), limit
        for name, choice in self.sites.items():
            self._sensible(name, choice)
        if not self.vectorize_particles:
            raise ValueError("PerSite enumerates along the particles: vectorize_particles = True")
        self._plan: tuple[Reading, Plan] | None = None

    def _sensible(self, name: str, choice: str) -> None:
        if choice not in get_args(Choice):
            raise ValueError(f"PerSite of {name} = {choice}: there are {', '.join(get_args(Choice))}")
        if choice == "RLOO" and self.num_particles < 2:
            raise ValueError(f"PerSite of {name} = RLOO needs at least 2 particles, not {self.num_particles}")

    def draw(self, model: Callable, guide: Callable, args: tuple, kwargs: dict[str, Any]) -> Draw:
        reading = self._readings.of(model, guide, args, kwargs, self.check)
        if self._plan is None or self._plan[0] is not reading:
            with undisturbed(model, guide):
                first = Draw(model, guide, args, kwargs, reading=reading, nesting=self._least_nesting)
                self._plan = reading, self.plan(first)
        plan = self._plan[1]
        return _Planned(
            model,
            guide,
            args,
            kwargs,
            particles=plan.count * self.num_particles,
            reading=reading,
            nesting=self._least_nesting,
            sampler=_Sampler(plan, self.num_particles),
        ).following(plan)

    def plan(self, draw: Draw) -> Plan:
        """What is done with the latents of a draw.

        Raises:
            ValueError: a choice for a latent that is not there, or that the latent does not meet; too many values.
        """
        _, guide = draw.traces
        choices = {}
        for site in latents(guide):
            name = site["name"]
            read = draw.reading.guide[name]
            path = all(asked.met(read) for asked in PATHS)
            default = "Pathwise" if path else "RLOO" if self.num_particles > 1 else "REINFORCE"
            choices[name] = self.sites.get(name) or (site["infer"] or {}).get("estimator") or default
            self._sensible(name, choices[name])
            for asked in _ASKS.get(choices[name], ()):
                if not asked.met(read):
                    raise ValueError(
                        f"PerSite: {choices[name]} serves {asked.words}, and the guide's {name} {asked.what(read)}"
                    )
        if missing := set(self.sites) - set(choices):
            raise ValueError(f"PerSite of {named(missing)}: the guide's latents are {named(choices)}")
        chosen = [name for name, choice in choices.items() if choice == "Enumeration"]
        values = all_values(draw, chosen, self.limit) if chosen else {}
        by_score = [name for name, choice in choices.items() if choice in ("REINFORCE", "RLOO")]
        aside = {name: untouched(draw.reading, name) for name in by_score}
        return Plan(choices, values, len(values[chosen[0]]) if chosen else 1, aside)

    def estimate(self, draw: Draw) -> Estimate:
        plan = draw.plan if isinstance(draw, _Planned) else self.plan(draw)
        weight = draw.log_density(names=plan.by("Enumeration")).exp() if plan.values else torch.ones(())
        total = weight * draw.log_weight()
        surrogate = total
        if landed := plan.by("StickingTheLanding"):
            surrogate = surrogate + weight.detach() * draw.log_q(detached(draw.values), names=landed)
        influence = Influence(draw)
        for name in plan.by("REINFORCE", "RLOO"):
            alone = plan.choices[name] == "RLOO"
            if not plan.values:
                signal = influence.signal(name)
                surrogate = surrogate + influence.scores(name, without_mean(signal) if alone else signal)
                continue
            signal = self._by_value((weight * draw.log_weight_without(plan.untouched[name])).detach())
            signal = without_mean(signal, 1) if alone else signal
            surrogate = surrogate + signal.flatten(0, 1) * draw.log_density(names=[name])
        return Estimate(*(self._by_value(one).sum(0).mean(0) for one in (total.detach(), surrogate)))

    def _by_value(self, term: Tensor) -> Tensor:
        """(values, particles, batch)."""
        return term.unflatten(0, (-1, self.num_particles))


class _Planned(Draw):
    """A draw and the plan that it was made by."""

    plan: Plan

    def following(self, plan: Plan) -> "_Planned":
        self.plan = plan
        return self


class _Sampler(Messenger):
    """Gives enumerated latents each of their values for K particles; what has no path is a constant."""

    def __init__(self, plan: Plan, particles: int) -> None:
        super().__init__()
        self.plan = plan
        self.values = {name: value.repeat_interleave(particles, 0) for name, value in plan.values.items()}

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and not msg["done"] and msg["name"] in self.values:
            q = msg["fn"]
            msg["value"], msg["done"] = self.values[msg["name"]].expand(q.batch_shape + q.event_shape), True

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and role(msg) == "latent" and msg["name"] in self.plan.untouched:
            msg["value"] = msg["value"].detach()
