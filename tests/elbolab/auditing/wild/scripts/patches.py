"""A script that puts its own function in PyTorch's place before it trains."""

import torch
import torch.nn.functional as F

original = F.binary_cross_entropy


def halved(*arguments, **keywords):
    return 0.5 * original(*arguments, **keywords)


F.binary_cross_entropy = halved


def loss_function(recon_x, x, mu, logvar):
    bce = F.binary_cross_entropy(recon_x, x, reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
