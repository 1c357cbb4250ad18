"""What estimators ask of a model and a guide, in the terms in which `elbolab.programs.reading` reads them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch.distributions import Bernoulli, Distribution, OneHotCategorical, OneHotCategoricalStraightThrough

from elbolab.programs.reading import Reading
from elbolab.programs.sites import STRAIGHT_THROUGH, Site, family, has_path, is_discrete, named

Repeats = Literal["none", "guide", "both"]


@dataclass(frozen=True)
class Condition:
    """`words` complete "this estimator serves ..."; `offence` says what in two programs is not so, None if all is."""

    words: str
    offence: Callable[[Reading], str | None]


def _family(site: Site) -> str:
    return f"is {site.family.__name__}"


@dataclass(frozen=True)
class EveryLatent(Condition):
    """A condition on each latent of the guide, looked at alone."""

    met: Callable[[Site], bool]
    what: Callable[[Site], str] = _family

    def serves(self, q: Distribution) -> bool:
        """Whether a latent that is drawn from q would do."""
        return self.met(Site("", "latent", family(q), len(q.event_shape), has_path(q), is_discrete(q)))


def every_latent(words: str, met: Callable[[Site], bool], what: Callable[[Site], str] = _family) -> EveryLatent:
    """A condition that each latent of the guide has to meet by itself; `what` says what one that does not is."""

    def offence(reading: Reading) -> str | None:
        return next((f"the guide's {site.name} {what(site)}" for site in reading.latents if not met(site)), None)

    return EveryLatent(words, offence, met, what)


def latents_of(words: str, *families: type[Distribution]) -> EveryLatent:
    """A condition that there are latents, all of them of some families."""
    # Straight-through codes are no constants: they carry a gradient of their own.
    each = every_latent(
        words,
        lambda site: (
            issubclass(site.family, families) and not issubclass(site.family, OneHotCategoricalStraightThrough)
        ),
    )

    def offence(reading: Reading) -> str | None:
        return each.offence(reading) if reading.latents else "the guide draws nothing"

    return EveryLatent(words, offence, each.met)


REPARAMETERISED = every_latent(
    "latents whose draws carry gradients (rsample)",
    lambda site: site.has_rsample,
    lambda site: f"is {site.family.__name__}, whose draws do not carry the gradient of their expectation",
)
SMOOTH = every_latent(
    "latents that neither program compares, rounds, casts to whole numbers, reads back or cuts off",
    lambda site: not site.jumps,
    lambda site: f"goes through {site.jumps}: what a density changes by there, no gradient sees",
)
PATHS = REPARAMETERISED, SMOOTH  # what a derivative through a draw needs
BITS = latents_of("Bernoulli latents", Bernoulli)
CODES = latents_of("Bernoulli or one-hot latents", Bernoulli, OneHotCategorical)


def _dependent(reading: Reading) -> str | None:
    for site in reading.latents:
        if site.depends:
            return f"the guide's {site.name} depends on the value of {named(site.depends)}"
    return None


def _point_mass(reading: Reading) -> str | None:
    for site in reading.others:
        kind = {"point mass": "is a point mass (Delta)", "factor": "is a factor", "observed": "is observed"}[site.role]
        return f"the guide's {site.name} {kind}"
    for site in reading.latents:
        if site.name not in reading.model:
            return f"the guide's {site.name} is auxiliary"
    return None


def _subsample_inside(reading: Reading) -> str | None:
    shared = {plate.dim for plate in reading.shared}
    for site in reading.joint:
        for plate in site.plates:
            if plate.subsampled and plate.dim not in shared:
                return f"the plate {plate.name} is subsampled, and a latent outside of it is shared by its data"
    return None


INDEPENDENT = Condition("latents that are independent given x", _dependent)
DRAWN = Condition("guides that draw every latent of the model from a density, and nothing else", _point_mass)
WHOLE_DATA = Condition("data of which none are left out below a latent that they share", _subsample_inside)

SEPARATE = Condition(
    "data that are independent given the parameters",
    lambda reading: "the log-density of a datum changes with the latents of another" if reading.mixes else None,
)


def _unmatched(reading: Reading) -> str | None:
    model, guide = reading.model, reading.guide
    for site in model.values():
        other = guide.get(site.name)
        if site.role == "latent" and (other is None or other.role not in ("latent", "point mass")):
            if site.enumerated:
                return f"the model's {site.name} is to be enumerated: TraceEnum_ELBO does that"
            how = "observed there" if other else "not in the guide"
            return f"the model's {site.name} is {how}, and would be drawn from its prior"
    for site in reading.latents:
        if not site.auxiliary and (site.name not in model or model[site.name].role == "observed"):
            where = "observed in the model" if site.name in model else "not in the model, nor marked as auxiliary"
            return f"the guide's {site.name} is {where}"
    return None


def _drawn_outside(reading: Reading) -> str | None:
    for site in reading.others:
        if site.role == "factor" and not site.has_rsample:
            return f"the guide's {site.name} has has_rsample=False: something was drawn outside of pyro.sample"
    return _first(
        reading,
        lambda site: (
            site.noise
            and f"depends on a draw by {site.noise}: make it a pyro.sample statement, in the guide one that is marked"
            " auxiliary; or, where it is noise on the data, draw it before the programs are called"
        ),
    )


def _first(reading: Reading, said: Callable[[Site], str], programs: tuple[str, ...] = ("guide", "model")) -> str | None:
    """What is first said of a site of these programs."""
    for which in programs:
        for site in getattr(reading, which).values():
            if what := said(site):
                return f"the {which}'s {site.name} {what}"
    return None


def _random_layers(*programs: str) -> Callable[[Reading], str | None]:
    return lambda reading: _first(reading, lambda site: site.network and f"depends on {site.network}", programs)


MATCHED = Condition(
    "guides that draw all latents of the model, and no others that are not marked auxiliary", _unmatched
)
NAMED = Condition("programs whose draws are all sample statements", _drawn_outside)
WHOLE_GRADIENT = Condition(
    "programs that take no parameter out of a part of its gradient",
    lambda reading: _first(
        reading,
        lambda site: f"loses one by {site.cut.how}; elbolab.stop_gradient says that this is meant" if site.cut else "",
    ),
)
FIXED_JUMPS = every_latent(
    "continuous latents that jump nowhere that a parameter says",
    lambda site: not site.moves,
    lambda site: f"goes through {site.moves}: how the parameters move the place of a jump, no gradient sees",
)
OWN_VALUES = every_latent(
    "latents whose density is that of their values",
    lambda site: not issubclass(site.family, STRAIGHT_THROUGH),
)
# What no estimator does without.
EVERYWHERE = (MATCHED, NAMED, WHOLE_GRADIENT, FIXED_JUMPS, OWN_VALUES)
FIXED_SUPPORT = every_latent(
    "latents whose support no parameter moves",
    lambda site: not site.support_moves,
    lambda site: (
        f"is {site.family.__name__} with a support that moves with a parameter: its score has another mean than 0"
    ),
)
_WORDS = "networks that are not random by themselves (in .eval() none is)"
SAME_AGAIN: dict[Repeats, tuple[Condition, ...]] = {
    "none": (),
    "guide": (Condition(f"guides with {_WORDS}", _random_layers("guide")),),
    "both": (Condition(_WORDS, _random_layers("guide", "model")),),
}


def asked(mixed_data: bool, total_derivative: bool, repeats: Repeats) -> tuple[Condition, ...]:
    """What every estimator asks, and what those do that do not say otherwise."""
    separate = () if mixed_data else (SEPARATE,)
    return *EVERYWHERE, *separate, *(() if total_derivative else (FIXED_SUPPORT,)), *SAME_AGAIN[repeats]
