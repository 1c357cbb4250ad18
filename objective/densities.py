"""The log-densities of a model and guide, particle by particle and datum by datum, read from Pyro's traces."""

from collections.abc import Callable
from typing import NamedTuple

import pyro
import torch
from pyro import poutine
from torch import Tensor


class Densities(NamedTuple):
    """Each of shape (particles, batch), in nats, summed over sample sites; scales such as beta are left out."""

    likelihood: Tensor
    prior: Tensor
    posterior: Tensor

    @property
    def log_weight(self) -> Tensor:
        """log w = log p(x|z) + log p(z) - log q(z|x): its mean is the ELBO, its log-mean-exp bounds log p(x)."""
        return self.likelihood + self.prior - self.posterior


def densities(model: Callable, guide: Callable, x: Tensor, particles: int = 1) -> Densities:
    """Draws z from the guide, `particles` times for every datum of x, and evaluates both programs there.

    The programs are the user's: any number of latent sites, each inside a data plate at dimension -1.
    """
    plate = pyro.plate("particles", particles, dim=-2)
    guide_trace = poutine.trace(plate(guide)).get_trace(x)
    model_trace = poutine.trace(poutine.replay(plate(model), trace=guide_trace)).get_trace(x)
    guide_trace.compute_log_prob()
    model_trace.compute_log_prob()

    def total(trace: poutine.Trace, observed: bool) -> Tensor:
        sites = [
            site["unscaled_log_prob"]
            for site in trace.nodes.values()
            if site["type"] == "sample" and site["is_observed"] is observed and not poutine.util.site_is_subsample(site)
        ]
        return sum(sites, torch.zeros((), device=x.device)).expand(particles, len(x))

    return Densities(total(model_trace, True), total(model_trace, False), total(guide_trace, False))
