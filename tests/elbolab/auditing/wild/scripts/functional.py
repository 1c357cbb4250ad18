from functools import partial

import torch
import torch.nn.functional as F

kl = lambda mu, logvar: -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(-1)
rec = lambda logits, x: F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(-1)
vae_loss = lambda logits, x, mu, logvar: (rec(logits, x) + kl(mu, logvar)).mean()


def weighted(logits, x, mu, logvar, *, beta):
    return (rec(logits, x) + beta * kl(mu, logvar)).mean()


beta_vae_loss = partial(weighted, beta=4.0)


def make_loss(beta=1.0):
    def loss(logits, x, mu, logvar):
        return (rec(logits, x) + beta * kl(mu, logvar)).mean()
    return loss


standard_loss = make_loss()


@torch.jit.script
def scripted(logits, x, mu, logvar):
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
