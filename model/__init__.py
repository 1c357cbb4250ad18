"""p(x, z) = p(z) p(x|z): the generative half of the auto-encoder, as a Pyro program."""

from model.likelihoods import Bernoulli, Likelihood
from model.model import Model
from model.networks import MLP, Convolutional, Network
from model.priors import Prior, StandardNormal

__all__ = ["MLP", "Bernoulli", "Convolutional", "Likelihood", "Model", "Network", "Prior", "StandardNormal"]
