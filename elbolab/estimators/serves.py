"""Which estimator serves what: a table from their declarations, `python -m elbolab.estimators.serves`."""

from collections.abc import Callable

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine

from elbolab import estimators
from elbolab.estimators.base import Estimator
from elbolab.programs.reading import Reading, read

_NORMAL = dist.Normal(0.0, 1.0)
_BITS, _CODES = dist.Bernoulli(0.5), dist.OneHotCategorical(torch.ones(3))
_CATEGORY = dist.Categorical(torch.ones(3))


def _latent(q: dist.TorchDistribution) -> Callable:
    def program() -> None:
        with pyro.plate("data", 4):
            pyro.sample("z", q)

    return program


def _layers(q: Callable) -> Callable:
    def program() -> None:
        with pyro.plate("data", 4):
            z = pyro.sample("z", q(torch.zeros(4)))
            pyro.sample("y", q(z))

    return program


def _with(term: Callable) -> tuple[Callable, Callable]:
    def guide() -> None:
        with pyro.plate("data", 4):
            term(pyro.sample("z", _NORMAL))

    return _latent(_NORMAL), guide


def _flow() -> None:
    with pyro.plate("data", 4):
        e = pyro.sample("e", _NORMAL, infer={"is_auxiliary": True})
        pyro.sample("z", dist.Delta(2 * e))


def _shared(size: int | None) -> Callable:
    def program() -> None:
        pyro.sample("g", _NORMAL)
        with pyro.plate("data", 4, subsample_size=size):
            pyro.sample("z", _NORMAL)

    return program


def _same(program: Callable) -> tuple[Callable, Callable]:
    return program, program


PROGRAMS: dict[str, tuple[Callable, Callable]] = {
    "normal": _same(_latent(_NORMAL)),
    "bits": _same(_latent(_BITS)),
    "one-hot": _same(_latent(_CODES)),
    "category": _same(_latent(_CATEGORY)),
    "normals in layers": _same(_layers(lambda z: dist.Normal(z, 1.0))),
    "bits in layers": _same(_layers(lambda z: dist.Bernoulli(logits=z))),
    "point masses, AutoGuides": (_latent(_NORMAL), _flow),
    "factor in the guide": _with(lambda z: pyro.factor("f", z, has_rsample=True)),
    "latents outside the plate": _same(_shared(None)),
    "of them a subsample": _same(_shared(2)),
}
MIXED = "data that mix"  # which no structure tells: it is found by trying


def readings() -> dict[str, Reading]:
    """One small pair of programs for every column, read."""
    with poutine.block():
        found = {name: read(model, guide) for name, (model, guide) in PROGRAMS.items()}
    normal = found["normal"]
    return found | {MIXED: Reading(normal.model, normal.guide, normal.nesting, normal.shared, normal.looks, mixes=True)}


def served() -> dict[str, dict[str, bool]]:
    """By the estimators' names and the columns'."""
    known = readings()
    named = {name: getattr(estimators, name) for name in estimators.__all__}
    classes = {
        name: c for name, c in named.items() if isinstance(c, type) and issubclass(c, Estimator) and c is not Estimator
    }
    return {name: {column: cls.serves(reading) for column, reading in known.items()} for name, cls in classes.items()}


def table() -> str:
    """The page."""
    rows = served()
    columns = list(next(iter(rows.values())))
    lines = [
        "# What each estimator serves",
        "",
        "From what the classes declare (`python -m elbolab.estimators.serves`). What is not served is refused before a"
        " first step, with the site's name and with those that would do. All serve deterministic sites, factors and"
        " several observed sites in the model, masks, scales, subsampled plates that hold all latents, keywords,"
        " programs as functions, methods or modules, and `vectorize_particles=False` for models that do not broadcast.",
        "",
        "| | " + " | ".join(columns) + " |",
        "|---" * (1 + len(columns)) + "|",
    ]
    lines += [
        f"| {name} | " + " | ".join("yes" if yes else "" for yes in row.values()) + " |" for name, row in rows.items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
