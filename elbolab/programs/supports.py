"""What the support of a distribution is made of: where these are parameters, values come and go as they move."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, TransformedDistribution, constraints

from elbolab.programs.sites import base


def bounds(q: Distribution) -> Iterator[Tensor]:
    """The tensors that say where the support of a distribution ends."""
    innermost = base(q)
    if isinstance(innermost, TransformedDistribution) and type(innermost).support is TransformedDistribution.support:
        yield from bounds(innermost.base_dist)
        support, short = innermost.base_dist.support, False
        for transform in innermost.transforms:
            # Of what does not reach to the ends of a transform's domain the image has ends that the transform moves.
            short |= not _same(support, transform.domain)
            if short:
                yield from _numbers(transform)
            support = transform.codomain
        return
    try:
        support = innermost.support
    except NotImplementedError:
        return
    yield from _numbers(_plain(support))


def _plain(constraint: Any) -> Any:  # noqa: ANN401
    """A constraint of one number, of those of a whole event."""
    while hasattr(constraint, "base_constraint"):
        constraint = constraint.base_constraint
    return constraint


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401
    """Whether two constraints are the same but for whether they are open."""
    one, other = _plain(one), _plain(other)
    ends = _ends(one), _ends(other)
    if None in ends:
        return type(one) is type(other)
    return all(bool((torch.as_tensor(a) == torch.as_tensor(b)).all()) for a, b in zip(*ends, strict=True))  # type: ignore[arg-type]


def _ends(constraint: Any) -> tuple[Any, Any] | None:  # noqa: ANN401
    """Between which numbers it is; None where it is no interval."""
    if constraint is constraints.real:
        return -math.inf, math.inf
    if not hasattr(constraint, "lower_bound") and not hasattr(constraint, "upper_bound"):
        return None
    return getattr(constraint, "lower_bound", -math.inf), getattr(constraint, "upper_bound", math.inf)


def _numbers(thing: Any, depth: int = 3) -> Iterator[Tensor]:  # noqa: ANN401
    """The tensors that an object holds, or what it holds does."""
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, nn.Module):
        yield from thing.parameters()
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from _numbers(part, depth)
    elif depth and isinstance(thing, constraints.Constraint | torch.distributions.Transform):
        for part in vars(thing).values():
            yield from _numbers(part, depth - 1)
