"""Estimators with an error planted in them, to see that the comparison sees it.

Each is named for what is wrong, and made from a right one through what is public: `estimate`, and the programs given.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from pyro import poutine
from pyro.distributions import Unit
from pyro.poutine.messenger import Messenger

from elbolab.estimators import (
    IWAE,
    PIWAE,
    REBAR,
    REINFORCE,
    RLOO,
    VIMCO,
    DReG,
    Estimate,
    IWAEStickingTheLanding,
    Pathwise,
    PathwiseAnalyticKL,
)
from elbolab.estimators.score import log_mean
from tests.elbolab.random_programs.claims import BY_LABEL, Claim
from tests.elbolab.random_programs.program import Program, Site


@dataclass(frozen=True)
class Mutant(Claim):
    """A claim whose estimator is another class, with programs on which its error matters."""

    draws: int = 200
    cls: type = REINFORCE
    matters: Callable[[Program], bool] = bool

    def make(self, draws: int, vectorize: bool = True):
        return self.cls(**self.arguments(draws, vectorize))

    @property
    def name(self) -> str:
        return self.cls.__name__

    @property
    def error(self) -> str:
        return self.label


class SeesItsOwnDraw(RLOO):
    """The baseline is the mean of all signals, one's own among them."""

    def estimate(self, draw):
        bound, _ = super().estimate(draw)
        signal = draw.log_weight()
        score = (signal - signal.mean(0)).detach() * draw.log_density()
        return Estimate(bound, (signal + score).mean(0))


class BaselinePutBackTwice(REINFORCE):
    """A baseline b(z) that depends on the draw, as a control variate's does, and is not taken off again."""

    def estimate(self, draw):
        bound, surrogate = super().estimate(draw)
        value = draw.log_weight().detach()
        return Estimate(bound, surrogate + (0.5 * value * draw.log_density()).mean(0))


class WrongSign(VIMCO):
    """The score's sign is turned, and with it that of the baseline."""

    def estimate(self, draw):
        bound, surrogate = super().estimate(draw)
        path = _iwae(draw)
        return Estimate(bound, 2 * path - surrogate)


class NoScore(VIMCO):
    """The term with the score is dropped."""

    def estimate(self, draw):
        return Estimate(super().estimate(draw).bound, _iwae(draw))


class FivePercent(Pathwise):
    def estimate(self, draw):
        bound, surrogate = super().estimate(draw)
        return Estimate(bound, 1.05 * surrogate)


class ScoreFivePercent(RLOO):
    def estimate(self, draw):
        bound, surrogate = super().estimate(draw)
        return Estimate(bound, 1.05 * surrogate)


class WrongValue(DReG):
    """The bound that is reported is the ELBO."""

    def estimate(self, draw):
        return Estimate(draw.log_weight().mean(0), super().estimate(draw).surrogate)


class MovedWithItsPoints(PIWAE):
    """What the model's own terms weigh moves the guide's point masses too."""

    def estimate(self, draw):
        log_weight = draw.log_weight()
        by_batch = log_weight.detach().reshape(self.batches, self.num_particles, -1).softmax(1) / self.batches
        more = log_weight.detach().softmax(0) - by_batch.reshape(log_weight.shape)
        still = {name: value.detach() for name, value in draw.values.items()}
        return Estimate(log_mean(log_weight), self.mean_of_bounds(log_weight) + (more * draw.log_p(still)).sum(0))


def _iwae(draw):
    log_w = draw.log_weight()
    return log_w.logsumexp(0) - torch.tensor(float(len(log_w))).log()


def deaf(base: type, hear: Callable, which: int) -> type:
    """Of the model (0) or the guide (1), `hear` is all that is looked at."""

    def changed(model, guide):
        return (hear(model), guide) if not which else (model, hear(guide))

    class Deaf(base):
        def differentiable_loss(self, model, guide, *args, **keywords):
            return super().differentiable_loss(*changed(model, guide), *args, **keywords)

        def loss(self, model, guide, *args, **keywords):
            return super().loss(*changed(model, guide), *args, **keywords)

    Deaf.__name__ = f"Deaf{base.__name__}"
    return Deaf


class _Without(Messenger):
    def __init__(self, key, value):
        super().__init__()
        self.key, self.value = key, value

    def _process_message(self, msg):
        if msg["type"] == "sample":
            msg[self.key] = self.value


def no_factors(program):
    return poutine.block(program, hide_fn=lambda msg: isinstance(msg["fn"], Unit))


def no_observed(program):
    return poutine.block(program, hide_fn=lambda msg: msg["type"] == "sample" and msg["is_observed"])


def no_scales(program):
    return _Without("scale", 1.0)(program)


def no_masks(program):
    return _Without("mask", None)(program)


def unchecked(base: type) -> type:
    """Serves every program."""
    return type(f"Unchecked{base.__name__}", (base,), {"conditions": ()})


def _any(which: str, test: Callable[[Site], bool]) -> Callable[[Program], bool]:
    return lambda program: program.local() and any(map(test, getattr(program, which)))


def _discrete(program: Program) -> bool:
    """And data can be repeated, which is the quickest way to many draws."""
    discrete = ("Bernoulli", "Categorical", "OneHotCategorical")
    return program.local() and any(site.family in discrete for site in program.latents())


def _smooth(program: Program) -> bool:
    return program.local() and all(
        site.rsample and site.family in ("Normal", "LogNormal") for site in program.latents()
    )


def _mutants() -> list[Mutant]:
    elbo, pair = {(1, 0.0): 1.0}, {(2, 0.0): 1.0}
    free = ("num_particles",)

    def of_elbo(cls, matters, least=1, label=""):
        return Mutant(label or cls.__name__, {}, elbo, elbo, elbo, free, least, cls=cls, matters=matters)

    def of_pair(cls, matters):
        return Mutant(cls.__name__, {"num_particles": 2}, pair, pair, pair, cls=cls, matters=matters)

    factor, weighed = _any("model", lambda s: s.family == "factor"), _any("model", lambda s: s.scale != 1.0)
    masked = _any("model", lambda s: bool(s.mask and s.obs and s.mask_by == "poutine"))
    seen = _any("guide", lambda s: bool(s.obs))
    return [
        replace(of_elbo(SeesItsOwnDraw, _discrete), free=(), options={"num_particles": 2}),
        of_elbo(BaselinePutBackTwice, _discrete),
        of_pair(WrongSign, _discrete),
        of_pair(NoScore, _discrete),
        replace(of_elbo(FivePercent, _smooth), draws=2000),
        replace(of_elbo(ScoreFivePercent, _discrete, 2), draws=2000),
        of_pair(WrongValue, _smooth),
        of_pair(type("NoDouble", (IWAEStickingTheLanding,), {}), _smooth),
        of_elbo(deaf(REINFORCE, no_factors, 0), factor, label="no factors"),
        of_elbo(deaf(RLOO, no_scales, 0), weighed, 2, "no scales"),
        of_elbo(deaf(RLOO, no_masks, 0), masked, 2, "no masks"),
        of_elbo(deaf(REINFORCE, no_observed, 1), seen, 1, "no data in the guide"),
        of_elbo(unchecked(Pathwise), _discrete),
        of_pair(unchecked(IWAE), lambda program: bool(program.refuse_multisample)),
        of_elbo(unchecked(REBAR), lambda program: _dependent(program)),
        of_elbo(unchecked(PathwiseAnalyticKL), _discrete),
        Mutant(
            **BY_LABEL["PIWAE(1, batches=2)"].__dict__ | {"label": "MovedWithItsPoints"},
            cls=MovedWithItsPoints,
            matters=_flow,
        ),
    ]


def _flow(program: Program) -> bool:
    """A Delta with parameters of its own, of what is drawn."""
    return program.local() and any(len(site.args) > 1 and site.family == "Delta" for site in program.guide)


def _dependent(program: Program) -> bool:
    """Bits that depend on others in the guide."""
    bits = {site.name for site in program.latents() if site.family in ("Bernoulli", "OneHotCategorical")}
    return len(bits) == len(program.guide) and any(bits & site.words() for site in program.guide)


MUTANTS = _mutants()
