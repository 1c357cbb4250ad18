"""Whether a graph did what the programs did when they were called: value, gradients and state afterwards."""

from collections.abc import Sequence

import torch
from torch import Tensor

from elbolab.graph.reads import CannotCapture

Named = tuple[str, Tensor, Tensor]  # what it is, the graph's, the programs'


def same(pairs: Sequence[Named], *, precise: bool, loose: bool = False) -> None:
    """
    Args:
        pairs: what has to agree, up to rounding.
        precise: whether it was computed in float64.
        loose: other kernels: sums in another order.

    Raises:
        CannotCapture: naming the first that does not.
    """
    largest = max([_norm(expected) for name, _, expected in pairs if name == "a gradient"], default=0.0)
    for name, found, expected in pairs:
        if found.shape != expected.shape:
            raise CannotCapture(f"{name} has another shape in the graph: {_shown(found)} for {_shown(expected)}")
        close = (1e-9 if precise else 1e-4 if name == "a gradient" else 1e-5) * (10 if loose else 1)
        bound = close * _norm(expected) + (
            1e-3 * close * largest if name == "a gradient" else 1e-12 if precise else 1e-7
        )
        if not _agree(found, expected, bound):
            raise CannotCapture(
                f"the graph does not do what the programs do: {name} is {_shown(found)} for {_shown(expected)}"
            )


def _agree(found: Tensor, expected: Tensor, bound: float) -> bool:
    if not expected.is_floating_point():
        return torch.equal(found.to(expected.dtype), expected)
    odd, other = ~expected.isfinite(), ~found.isfinite()
    if odd.any() or other.any():
        return torch.equal(odd, other) and _agree(found[~odd], expected[~odd], bound)
    return (found.double() - expected.double()).norm().item() <= bound


def _norm(value: Tensor) -> float:
    value = value.double()
    return value[value.isfinite()].norm().item()


def _shown(value: Tensor) -> str:
    return f"{value.item():.8g}" if value.numel() == 1 else f"of shape {tuple(value.shape)}, norm {_norm(value):.8g}"
