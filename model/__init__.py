"""p(x, z) = p(z) p(x|z): the generative half of the auto-encoder, as a Pyro program."""

from model import likelihoods, priors
from model.model import Model
from model.networks import MLP, Convolutional, Network

__all__ = ["MLP", "Convolutional", "Model", "Network", "likelihoods", "priors"]
