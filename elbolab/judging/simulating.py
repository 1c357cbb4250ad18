"""Data and latents drawn together from a model that is written to observe its data."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from elbolab.programs.sites import is_subsample


def simulated(model: Callable, x: Tensor, count: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Draws (z, x) from p(x, z): the data, of shape (count, *datum), and every other site's value by its name.

    The model is called with `count` rows of x, and what it observes is drawn instead; rows of x come again where there
    are fewer. Then z is an exact draw of p(z|x) for the x that came with it.

    Raises:
        ValueError: the model observes nothing, or more than x itself.
    """
    rows = x[torch.arange(count, device=x.device) % len(x)]
    trace = poutine.trace(poutine.uncondition(model)).get_trace(rows)
    nodes: dict[str, Any] = {n: s for n, s in trace.nodes.items() if s["type"] == "sample" and not is_subsample(s)}
    observed = [name for name, site in nodes.items() if site["infer"].get("was_observed")]
    if len(observed) != 1 or not _same(nodes[observed[0]]["infer"]["obs"], rows):
        found = f"it observes {', '.join(observed)}" if observed else "it observes nothing"
        raise ValueError(f"data are simulated for a model that observes its argument x, at one site, as it is: {found}")
    return nodes.pop(observed[0])["value"], {name: site["value"] for name, site in nodes.items()}


@contextmanager
def scoring_any(what: str) -> Iterator[None]:
    """Says what is asked of a guide that knows the density of what it has drawn, and of nothing else.

    Raises:
        ValueError: it is one of these.
    """
    try:
        yield
    except NotImplementedError as error:
        raise ValueError(
            f"{what} asks for log q(z|x) at a z that the guide did not draw, which it cannot give"
        ) from error


def _same(observed: Tensor, rows: Tensor) -> bool:
    return observed.shape == rows.shape and bool((observed == rows).all())
