"""Whether particles, and the data of a plate, have nothing to do with one another: tried, for no structure tells it.

Some latents are moved, and what must not change is looked at. A program that mixes an axis, by a sum over it, a wrong
reshape or batch normalisation, is seen; its own noise, such as dropout's, is the same in both runs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, OneHotCategorical

from elbolab.programs.draw import Draw, Values
from elbolab.programs.influence import Influence
from elbolab.programs.reading import Reading, undisturbed
from elbolab.programs.sites import Plate, base, sites
from elbolab.validation import unvalidated

_PRIMES = (2, 3, 5, 7, 11, 13)
_SEED = 0


def particles_mix(
    model: Callable, guide: Callable, arguments: tuple, keywords: Mapping[str, Any], reading: Reading, nesting: int
) -> str | None:
    """Says of a model and guide, run for several particles at once, why they cannot be; None if they can."""
    with undisturbed(model, guide), unvalidated(handlers=False):
        try:
            count = _unlike(Draw(model, guide, arguments, keywords, reading=reading))
            draw, other = (
                Draw(model, guide, arguments, keywords, particles=count, reading=reading, nesting=nesting)
                for _ in range(2)
            )
            first = torch.arange(count) == 0
            for moved in (first, ~first):
                mask = {name: _along(moved, 0, 1 + draw.nesting) for name in draw.values}
                if _changes(draw, other, mask, ~moved[:, None]):
                    return "what one particle is given changes another's log-density"
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            return f"{type(error).__name__}: {reason}"
    return None


def data_mix(model: Callable, guide: Callable, arguments: tuple, keywords: Mapping[str, Any], reading: Reading) -> bool:
    """Whether the log-density of a datum depends on the latents of another, whatever their plates say."""
    with undisturbed(model, guide), unvalidated(handlers=False):
        draw, other = (Draw(model, guide, arguments, keywords, reading=reading) for _ in range(2))
        if not draw.frames or not draw.values:
            return False
        first = torch.zeros([frame.size for frame in draw.frames], dtype=torch.bool)
        first.view(-1)[0] = True
        if first.all():
            return False
        axes = torch.zeros([1] * (1 + draw.nesting), dtype=torch.bool)
        shape = list(axes.shape)
        for frame in draw.frames:
            shape[frame.dim] = frame.size
        mask = dict.fromkeys(draw.values, first.reshape(shape))
        return _changes(draw, other, mask, ~first.reshape(1, -1))


def plates_that_mix(
    model: Callable, guide: Callable, arguments: tuple, keywords: Mapping[str, Any], reading: Reading
) -> frozenset[str]:
    """Plates that not all latents are in, whose elements have to do with one another for all that."""
    shared = {plate.dim for plate in reading.shared}
    inside = {plate for site in reading.latents for plate in reading.plates(site)}
    found = set()
    with undisturbed(model, guide), unvalidated(handlers=False):
        for plate in sorted(inside, key=lambda plate: plate.name):
            if plate.dim is not None and plate.dim not in shared:
                draw, other = (Draw(model, guide, arguments, keywords, reading=reading) for _ in range(2))
                try:
                    if _spills(draw, other, plate):
                        found.add(plate.name)
                except NotImplementedError:  # a flow without an inverse: not to be tried
                    found.add(plate.name)
    return frozenset(found)


def _spills(draw: Draw, other: Draw, plate: Plate) -> bool:
    """Whether a term at one element of a plate changes with what is drawn in another."""
    dim = plate.dim or 0
    moved = {}
    for site in draw.reading.latents:
        value, event = draw.values[site.name], draw.posteriors[site.name].event_dim
        size = draw.padded(value, event).shape[dim - event] if plate in draw.reading.plates(site) else 0
        shape = [1] * (1 + draw.nesting)
        shape[dim] = max(size, 1)
        moved[site.name] = (torch.arange(max(size, 1)) == 0).reshape(shape) & (size > 0)
    found = []
    for values in (draw.values, _mixed(draw, other, moved)):
        torch.manual_seed(_SEED)
        terms = [term for site, term in Influence(draw, values).terms if plate in draw.reading.plates(site)]
        found.append([term.narrow(dim, 1, term.shape[dim] - 1) for term in terms])
    return not all(map(_same, *found))


def _changes(draw: Draw, other: Draw, moved: Mapping[str, Tensor], still: Tensor) -> bool:
    """Whether log-densities change at places, of shape (particles, batch), when the latents at others do."""
    found = []
    for values in (draw.values, _mixed(draw, other, moved)):
        torch.manual_seed(_SEED)
        found.append(torch.stack(torch.broadcast_tensors(draw.log_p(values), _log_q(draw, values))))
    return not _same(*(values[:, still.expand(values.shape[1:])] for values in found))


def _same(one: Tensor, two: Tensor) -> bool:
    close = 1e-9 if one.dtype == torch.float64 else 1e-4
    return torch.allclose(one, two, rtol=close, atol=close, equal_nan=True)


def _log_q(draw: Draw, values: Values) -> Tensor:
    """log q where it is known: a flow without an inverse has a density of its own draws alone, and is not tried."""
    try:
        return draw.log_q(values)
    except NotImplementedError:
        return torch.zeros(())


def _mixed(draw: Draw, other: Draw, moved: Mapping[str, Tensor]) -> Values:
    """The values of one draw, at some places those of another."""
    found = {}
    for name, value in draw.values.items():
        q = draw.posteriors[name]
        event = len(q.event_shape)
        mask = moved[name]
        mask = mask.reshape(mask.shape[mask.dim() - (value.dim() - event) :] + (1,) * event).to(value.device)
        found[name] = torch.where(mask, _elsewhere(q, value, other.values[name]), value)
    return found


def _elsewhere(q: Distribution, value: Tensor, other: Tensor) -> Tensor:
    """Values that differ from those given; another draw may be the same where there are few."""
    innermost = base(q)
    if isinstance(innermost, Bernoulli):
        return 1 - value
    if isinstance(innermost, OneHotCategorical):
        return value.roll(1, -1)
    if isinstance(innermost, Categorical):
        return (value + 1) % innermost.param_shape[-1]
    return other


def _along(moved: Tensor, dim: int, dims: int) -> Tensor:
    return moved.reshape([-1 if d == dim else 1 for d in range(dims)])


def _unlike(draw: Draw) -> int:
    """A number of particles that no axis has already, so that none is taken for theirs."""
    found = [site for trace in draw.traces for site in sites(trace)]
    sizes = {size for site in found for size in (*site["value"].shape, *site["fn"].batch_shape)}
    return next(prime for prime in (*_PRIMES, 1009) if prime not in sizes)
