"""The generative program."""

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from model.likelihoods import Likelihood
from model.priors import Prior


class Model(nn.Module):
    """p(x, z) = p(z) p(x|z), independently for every datum of a batch.

    `beta` weighs the prior's log-density; with the same `beta` in the guide the objective is the beta-ELBO
    E_q[log p(x|z)] - beta KL(q(z|x) || p(z)) (Higgins et al., 2017, beta-VAE). It is a buffer, so that a warm-up can
    move it. Pyro accepts positive values only.
    """

    def __init__(self, prior: Prior, likelihood: Likelihood, *, beta: float = 1.0) -> None:
        super().__init__()
        self.prior = prior
        self.likelihood = likelihood
        self.register_buffer("beta", torch.tensor(beta))

    def forward(self, x: Tensor) -> Tensor:
        """Runs the program on data x of shape (batch, *datum)."""
        with pyro.plate("batch", len(x)):
            with pyro.poutine.scale(scale=self.beta):
                z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.decode(z), obs=x)

    def decode(self, z: Tensor) -> dist.TorchDistribution:
        """p(x|z) for z of shape (*, latent)."""
        return self.likelihood(z[..., : self.prior.seen])
