"""What the support of a distribution is made of: where these are parameters, values come and go as they move."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import ComposeTransform, Distribution, Transform, TransformedDistribution, constraints

from elbolab.programs.sites import base


def bounds(q: Distribution) -> Iterator[Tensor]:
    """The tensors that say where the support of a distribution ends."""
    innermost = base(q)
    if isinstance(innermost, TransformedDistribution) and type(innermost).support is TransformedDistribution.support:
        yield from bounds(innermost.base_dist)
        support: Any = innermost.base_dist.support
        for transform in _parts(innermost.transforms):
            # An end that lies inside of a transform's domain is moved by it; one at the domain's end is not.
            support, moves = _image(_plain(support), transform)
            if moves:
                yield from _numbers(transform)
        return
    try:
        support = innermost.support
    except NotImplementedError:
        return
    yield from _numbers(_plain(support))


def _parts(transforms: Any) -> Iterator[Transform]:  # noqa: ANN401
    for transform in transforms:
        yield from _parts(transform.parts) if isinstance(transform, ComposeTransform) else [transform]


def _image(support: Any, transform: Transform) -> tuple[Any, bool]:  # noqa: ANN401
    """What a transform makes of a support, and whether its own numbers say where that ends."""
    domain: Any = _plain(transform.domain)
    image: Any = _plain(transform.codomain)
    ends, around, onto = _ends(support), _ends(domain), _ends(image)
    if ends is None or around is None or onto is None:
        return (image, False) if type(support) is type(domain) else (support, True)
    try:
        increases = bool((torch.as_tensor(transform.sign) > 0).all())
    except NotImplementedError:  # one that mixes the numbers of an event
        increases = True
    onto, found = onto if increases else onto[::-1], []
    for end, outermost, limit in zip(ends, around, onto, strict=True):
        at_the_end = bool((torch.as_tensor(end) == torch.as_tensor(outermost)).all())
        found.append(limit if at_the_end else transform(torch.as_tensor(end, dtype=torch.get_default_dtype())))
    moves = any(end is not limit for end, limit in zip(found, onto, strict=True))
    return constraints.interval(*(found if increases else found[::-1])), moves


def _plain(constraint: Any) -> Any:  # noqa: ANN401
    """A constraint of one number, of those of a whole event."""
    while hasattr(constraint, "base_constraint"):
        constraint = constraint.base_constraint
    return constraint


def _ends(constraint: Any) -> tuple[Any, Any] | None:  # noqa: ANN401
    """Between which numbers it is; None where it is no interval."""
    if type(constraint) is type(constraints.real):
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
    elif depth and isinstance(thing, constraints.Constraint | Transform):
        for part in vars(thing).values():
            yield from _numbers(part, depth - 1)
