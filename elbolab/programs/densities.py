"""The log-densities of a model and guide, particle by particle and datum by datum, read from Pyro's traces."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from elbolab.programs.draw import Draw
from elbolab.programs.reading import Reading


class Densities(NamedTuple):
    """Each of shape (particles, batch), in nats, summed over sample sites; scales such as beta are left out."""

    likelihood: Tensor
    prior: Tensor
    posterior: Tensor

    @property
    def log_weight(self) -> Tensor:
        """log w = log p(x|z) + log p(z) - log q(z|x): its mean is the ELBO, its log-mean-exp bounds log p(x)."""
        return self.likelihood + self.prior - self.posterior


def densities(
    model: Callable, guide: Callable, x: Tensor, particles: int = 1, *, reading: Reading | None = None
) -> Densities:
    """Draws z from the guide, `particles` times for every datum of x, and evaluates both programs there.

    The programs are the user's: any number of latent sites, each inside a data plate. `reading` is what is known of
    them; they are read if it is left out.
    """
    draw = Draw(model, guide, (x,), particles=particles, reading=reading, scaled=False)
    return Densities(draw.log_likelihood(), draw.log_prior(), draw.log_q())
