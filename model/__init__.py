"""p(x, z) = p(z) p(x|z): the generative half of the auto-encoder, as a Pyro program."""

from elbolab.networks import MLP, Convolutional, Network, Residual
from model import likelihoods, priors
from model.model import Model

__all__ = ["MLP", "Convolutional", "Model", "Network", "Residual", "likelihoods", "priors"]
