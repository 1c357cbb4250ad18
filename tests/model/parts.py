"""A part of every class that can be chosen, made for a test."""

import torch

from guide.posteriors import DiagonalNormal
from model import MLP
from training.catalogue import CHOICES

LATENT, SHAPE = 4, (6,)
PRIORS, LIKELIHOODS, POSTERIORS = CHOICES["prior"], CHOICES["likelihood"], CHOICES["guide"]


def name(cls):
    return cls.__name__


def made(cls, latent=LATENT, shape=SHAPE):
    """A part with parameters that are not at their symmetric start."""
    if cls in PRIORS:
        part = cls(latent)
        part.prepare(DiagonalNormal(shape, latent, MLP(8)), torch.rand(50, *shape))
    elif cls in LIKELIHOODS:
        part = cls(latent, shape, MLP(8))
        part.prepare(torch.full((3, *shape), 5.0))
    else:
        part = cls(shape, latent, MLP(8))
    with torch.no_grad():
        for p in part.parameters():
            constant = p.dim() < 2 or p.std() == 0
            p.add_(0.3 * torch.randn_like(p) * (1 if constant else p.std()))
    return part


def double(part):
    for module in (part, *getattr(part, "_posterior", ())):  # a VampPrior's guide is not its own module
        module.double()
    return part


def distribution(part, leading=(5,), dtype=torch.float32, shape=SHAPE, latent=LATENT):
    if type(part) in PRIORS:
        return part()
    if type(part) in LIKELIHOODS:
        return part(torch.randn(*leading, latent, dtype=dtype))
    return part(torch.rand(*leading, *shape, dtype=dtype))
