"""Whether a density depends on what cannot be followed: numbers of Python's, and generators that are not PyTorch's.

A number that was read back, or NumPy's generator, is changed a little and the programs are run again: what is merely
printed or asserted changes nothing.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pyro import poutine

from elbolab.generators import kept_generators
from elbolab.programs.dependence import COPIES, NUMBERS, Dependence, name_of
from elbolab.programs.marks import Cut, Parameter
from elbolab.programs.sites import sites

_MORE = 1.001
Run = Callable[[Dependence], tuple[poutine.Trace, poutine.Trace]]


class Nudged(Dependence):
    """Every number that a parameter is turned into is a little larger."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        result = super().__torch_function__(func, types, args, kwargs)
        known = name_of(func) in NUMBERS | COPIES and any(self.carried((args, kwargs), k) for k in (Parameter, Cut))
        return _larger(result) if known else result


def _larger(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [_larger(part) for part in value]
    smooth = value.is_floating_point() if isinstance(value, torch.Tensor) else np.asarray(value).dtype.kind == "f"
    return value * _MORE if smooth else value


@contextmanager
def other_generators() -> Iterator[None]:
    """NumPy's generator and Python's start elsewhere, and go on where they were."""
    with kept_generators():
        np.random.seed(1)
        random.seed(1)
        yield


def changed(run: Run, how: Callable[[], Any] | None = None) -> set[str]:
    """The sites whose density is another in a run with other numbers, or under what `how` enters."""
    before = _densities(run(Dependence()))
    if how is None:
        after = _densities(run(Nudged()))
    else:
        with how():
            after = _densities(run(Dependence()))
    same = {key for key in before.keys() & after.keys() if _same(before[key], after[key])}
    return {name for _, name in (before.keys() | after.keys()) - same}


def _densities(traces: tuple[poutine.Trace, poutine.Trace]) -> dict[tuple[int, str], torch.Tensor]:
    return {
        (which, site["name"]): site["fn"].log_prob(site["value"]).detach()
        for which, trace in enumerate(traces)
        for site in sites(trace)
        if not (site["infer"] or {}).get("_deterministic")
    }


def _same(one: torch.Tensor, two: torch.Tensor) -> bool:
    return one.shape == two.shape and torch.equal(one.nan_to_num(), two.nan_to_num())
