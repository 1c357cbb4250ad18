"""q(z|x): the inference half of the auto-encoder, as a Pyro program."""

from guide.guide import Guide
from guide.posteriors import DiagonalNormal, Posterior

__all__ = ["DiagonalNormal", "Guide", "Posterior"]
