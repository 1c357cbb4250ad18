import torch.nn.functional as F

from ..losses import gaussian_kl
from ..losses.kl import half_kl
from .base import reconstruction


def loss(logits, x, mu, logvar):
    return (reconstruction(logits, x) + gaussian_kl(mu, logvar)).mean()


def loss_half(logits, x, mu, logvar):
    return (reconstruction(logits, x) + half_kl(mu, logvar)).mean()
