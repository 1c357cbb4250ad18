"""Losses that change the data first."""

import torch
import torch.nn.functional as F


def kl(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def bytes_to_unit(recon, x, mu, logvar):
    x = x.float() / 255.0
    return F.binary_cross_entropy(recon, x, reduction="sum") + kl(mu, logvar)


def from_tanh(x_logits, x, mu, logvar):
    x = (x + 1) / 2  # data are in [-1, 1]
    return F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum") + kl(mu, logvar)


def both_from_tanh(recon_x, x, mu, logvar):
    recon_x, x = (recon_x + 1) / 2, (x + 1) / 2
    assert 0 <= recon_x.min() and recon_x.max() <= 1
    return F.binary_cross_entropy(recon_x, x, reduction="sum") + kl(mu, logvar)


def binarised(x_logits, x, mu, logvar):
    x = (x > 0.5).float()
    return F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum") + kl(mu, logvar)


def drawn(x_logits, x, mu, logvar):
    x = torch.bernoulli(x)
    return F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum") + kl(mu, logvar)


def logarithm(x_hat, x, mu, logvar):
    return 0.5 * F.mse_loss(x_hat, torch.log1p(x), reduction="sum") + kl(mu, logvar)


def clamped(recon, x, mu, logvar):
    recon = recon.clamp(1e-6, 1 - 1e-6)
    rec = -(x * recon.log() + (1 - x) * (1 - recon).log()).sum()
    return rec + kl(mu, logvar)


def rescaled_both(recon, x, mu, logvar):
    # 255 (recon - x): the squared error of grey levels
    return F.mse_loss(255 * recon, 255 * x, reduction="sum") + kl(mu, logvar)
