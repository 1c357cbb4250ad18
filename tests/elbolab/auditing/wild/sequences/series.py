"""Time series, (batch, time, features)."""

import torch
import torch.nn.functional as F


def kl(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)


def sums(x_hat, x, mu, logvar):
    rec = ((x_hat - x) ** 2).sum(dim=(1, 2))
    return (rec + kl(mu, logvar)).mean()


def features_alone(x_hat, x, mu, logvar):
    b, t, f = x.shape
    rec = ((x_hat - x) ** 2).sum(dim=-1).mean()
    return rec + kl(mu, logvar).mean()


def masked(x_hat, x, mask, mu, logvar):
    """mask: (batch, time), 1 where something was measured."""
    rec = (((x_hat - x) ** 2).sum(-1) * mask).sum(1)
    return (rec + kl(mu, logvar)).mean()


def masked_mean(x_hat, x, mask, mu, logvar):
    rec = (((x_hat - x) ** 2) * mask.unsqueeze(-1)).sum() / mask.sum()
    return rec + kl(mu, logvar).mean()


def action_chunks(a_hat, actions, is_pad, mu, logvar, kl_weight=10):
    """Imitation by chunks of actions: absolute errors where nothing is padded."""
    all_l1 = F.l1_loss(actions, a_hat, reduction="none")
    l1 = (all_l1 * ~is_pad.unsqueeze(-1)).mean()
    return l1 + kl_weight * kl(mu, logvar).mean()


def weighted_steps(x_hat, x, mu, logvar):
    """The latest step counts most."""
    w = torch.linspace(0.1, 1.0, x.size(1)).view(1, -1, 1)
    rec = (w * (x_hat - x) ** 2).sum(dim=(1, 2))
    return (rec + kl(mu, logvar)).mean()


def over_time(x_hat, x, mu, logvar):
    # the errors are averaged over the steps, the KL is not
    b, t, f = x.shape
    return (((x_hat - x) ** 2).sum(dim=(1, 2)) / t + kl(mu, logvar)).mean()
