"""Operations that PyTorch's tracer cannot follow, or follows by their values, by others that do the same."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from elbolab.graph.torch_internals import node_of


def selected(func: Callable[..., Any], x: Tensor, index: Any) -> Any:
    """`x[i]` where i is a 0-dimensional tensor of the trace's, which PyTorch reads: as `x[[i]]` it is an operation."""
    items = index if isinstance(index, tuple) else (index,)
    places = [place for place, item in enumerate(items) if _number(item)]
    if not places or any(isinstance(item, list | Tensor) and not _number(item) for item in items):
        return func(x, index)
    found = func(x, tuple(slice(None) if _number(item) else item for item in items))
    for place in reversed(places):
        before, after = items[:place], items[place + 1 :]
        dim = found.dim() - 1 - _kept(after) if any(item is ... for item in before) else _kept(before)
        found = func(found, (*[slice(None)] * dim, items[place].reshape(1))).squeeze(dim)
        items = (*before, 0, *after)
    return found


def _number(item: Any) -> bool:
    whole = isinstance(item, Tensor) and not item.dim() and item.dtype in (torch.int64, torch.int32, torch.int16)
    return whole and node_of(item) is not None


def _kept(items: tuple) -> int:
    """Dimensions of the result that come of these."""
    return sum(item is None or isinstance(item, slice | Tensor) for item in items)
