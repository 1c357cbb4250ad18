"""The aggregate posterior q(z) = 1/N sum_n q(z|x_n) beside the prior: where the rate goes."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from elbolab.judging.simulating import scoring_any
from elbolab.programs.draw import Draw


class Surgery(NamedTuple):
    """The rate in two parts, in nats per datum: rate = information + aggregate.

    rate = E KL(q(z|x) || p(z)); information = E KL(q(z|x) || q(z)), of z about which of the N data it is, at most
    log N; aggregate = KL(q(z) || p(z)), what a better prior could save (Hoffman and
    Johnson, 2016, ELBO surgery). `error` is the standard error of aggregate.
    """

    rate: float
    information: float
    aggregate: float
    error: float


@torch.no_grad()
def surgery(model: Callable, guide: Callable, x: Tensor, *, pairs: int = 2**20) -> Surgery:
    """Estimates the two parts from one draw of z for every datum of x, with q(z) summed over all of them exactly.

    Args:
        model, guide: the programs.
        x: the data that q(z) is of; N^2 densities of the guide are evaluated.
        pairs: how many of them at a time.

    Raises:
        ValueError: the guide draws latents that are one for all data, or knows no density but of what it draws.
    """
    draw = Draw(model, guide, (x,), scaled=False)
    events = {name: len(q.event_shape) for name, q in draw.posteriors.items()}
    rows = {name: draw.rows(draw.values[name][None], event)[0] for name, event in events.items()}
    if any(len(row) != len(x) for row in rows.values()):
        raise ValueError("some latent is one for all data: q(z) is a mixture over the latents of a datum")
    own, prior = draw.log_q()[0].double(), draw.log_prior()[0].double()
    mixed = []
    for index in torch.arange(len(x), device=x.device).split(max(1, pairs // len(x))):
        values = {n: draw.spread(rows[n][index], draw.values[n][None], event) for n, event in events.items()}
        with scoring_any("the aggregate posterior"):
            at = draw.log_q(values, len(index))
        mixed.append(at.double().logsumexp(1) - torch.tensor(len(x)).log())
    aggregate = torch.cat(mixed) - prior
    return Surgery(
        rate=(own - prior).mean().item(),
        information=(own - torch.cat(mixed)).mean().item(),
        aggregate=aggregate.mean().item(),
        error=aggregate.std().item() / len(x) ** 0.5,
    )
