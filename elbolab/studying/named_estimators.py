"""Estimators by their names: Pyro's, and every class in `objective` that can be built."""

import ast
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from pyro.infer import ELBO, Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO

from elbolab import estimators
from elbolab.estimators.base import Estimator

CONTINUOUS = (
    "Trace_ELBO,TraceMeanField_ELBO,StickingTheLanding,REINFORCE,RLOO,IWAE,IWAEStickingTheLanding,DReG"  # eight
)
DISCRETE = "REINFORCE,NVIL,RLOO,MuProp,DisARM,REBAR,STGumbel,VIMCO"


def estimators_by_name() -> dict[str, type[ELBO]]:
    """All classes by name."""
    ours: list[Any] = [getattr(estimators, name) for name in estimators.__all__]
    found = (c for c in ours if isinstance(c, type) and issubclass(c, Estimator) and c is not Estimator)
    pyros: tuple[Any, ...] = (Trace_ELBO, TraceMeanField_ELBO, TraceGraph_ELBO)
    return {cls.__name__: cls for cls in (*pyros, *found)}


def named(wanted: str, particles: Sequence[int]) -> tuple[dict[str, ELBO], list[str]]:
    """ELBOs by label, for every number of particles, and words on those that need more of them.

    An estimator is a name, and options after colons: StickingTheLanding:sampling=antithetic.

    Raises:
        ValueError: a name or an option that does not exist.
    """
    classes, found, skipped = estimators_by_name(), {}, []
    for item in wanted.split(","):
        name, *options = item.strip().split(":")
        if name not in classes:
            raise ValueError(f"estimators = {name}: there are {', '.join(classes)}")
        settings = dict(_option(name, option) for option in options)
        least = max(getattr(classes[name], "least_particles", 1), 2 if settings.get("sampling") else 1)
        enough = [count for count in particles if count >= least]
        if len(enough) < len(particles):
            skipped.append(f"{item} takes {least} particles at least")
        for count in enough:
            label = " ".join([name, *options])
            found[f"{label} K={count}"] = _built(classes[name], count, settings)
    return found, skipped


def _option(name: str, option: str) -> tuple[str, object]:
    key, separator, value = option.partition("=")
    if not separator:
        raise ValueError(f"estimators = {name}:{option}: an option is written name=value")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):  # a word, such as antithetic
        return key, value


def _built(cls: type[ELBO], particles: int, settings: dict) -> ELBO:
    if not issubclass(cls, Estimator):  # the programs here have one plate; told so, Pyro does not look
        settings = {"max_plate_nesting": 1, "vectorize_particles": particles > 1} | settings
    try:
        return cls(num_particles=particles, **settings)
    except TypeError:
        own = sorted(
            name
            for base in cls.__mro__
            if "__init__" in vars(base) and base not in (object, torch.nn.Module)
            for name, p in inspect.signature(vars(base)["__init__"]).parameters.items()
            if p.kind is p.KEYWORD_ONLY
        )
        raise ValueError(
            f"{cls.__name__} does not take {', '.join(settings)}; it takes {', '.join(dict.fromkeys(own))}"
        ) from None
