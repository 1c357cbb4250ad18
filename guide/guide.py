"""The inference program."""

import pyro
import torch
from torch import Tensor, nn

from guide.posteriors import Posterior


class Guide(nn.Module):
    """q(z|x), independently for every datum of a batch.

    `beta` weighs log q(z|x) and has to be the model's, see there: `TraceMeanField_ELBO` takes the KL's weight from the
    guide alone, `Trace_ELBO` from both.
    """

    def __init__(self, posterior: Posterior, *, beta: float = 1.0) -> None:
        super().__init__()
        self.posterior = posterior
        self.register_buffer("beta", torch.tensor(beta))

    def forward(self, x: Tensor) -> Tensor:
        """Runs the program on data x of shape (batch, *datum)."""
        with pyro.plate("batch", len(x)), pyro.poutine.scale(scale=self.beta):
            return pyro.sample("z", self.posterior(x))
