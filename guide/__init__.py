"""q(z|x): the inference half of the auto-encoder, as a Pyro program."""

from guide import posteriors
from guide.guide import Guide

__all__ = ["Guide", "posteriors"]
