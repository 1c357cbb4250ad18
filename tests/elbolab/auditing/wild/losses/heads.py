"""Encoders whose second output is this or that."""

import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence


def log_sigma_right(x_logits, x, mu, log_sigma):
    rec = F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum")
    return rec + torch.sum(0.5 * (mu**2 + torch.exp(2 * log_sigma)) - log_sigma - 0.5)


def log_sigma_read_as_logvar(x_logits, x, mu, log_sigma):
    rec = F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum")
    return rec - 0.5 * torch.sum(1 + log_sigma - mu.pow(2) - log_sigma.exp())


def logvar_read_as_log_sigma(x_logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum")
    return rec - 0.5 * torch.sum(1 + 2 * logvar - mu.pow(2) - torch.exp(2 * logvar))


def sigma_right(x_hat, x, mu, sigma):
    rec = F.binary_cross_entropy(x_hat, x, reduction="sum")
    return rec + 0.5 * torch.sum(mu**2 + sigma**2 - torch.log(sigma**2) - 1)


def sigma_log_not_squared(x_hat, x, mu, sigma):
    # log(sigma) where log(sigma^2) belongs
    rec = F.binary_cross_entropy(x_hat, x, reduction="sum")
    return rec + 0.5 * torch.sum(mu**2 + sigma**2 - torch.log(sigma) - 1)


def sigma_with_epsilon(x_hat, x, z_mean, z_stddev):
    marginal = torch.sum(x * torch.log(1e-8 + x_hat) + (1 - x) * torch.log(1e-8 + 1 - x_hat), 1)
    kl = 0.5 * torch.sum(z_mean**2 + z_stddev**2 - torch.log(1e-8 + z_stddev**2) - 1, 1)
    return torch.mean(kl - marginal)


def variance_right(x_hat, x, mu, var):
    rec = F.binary_cross_entropy(x_hat, x, reduction="sum")
    return rec + 0.5 * torch.sum(mu**2 + var - torch.log(var) - 1)


def normal_of_logvar(x_logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum")
    return rec + kl_divergence(Normal(mu, logvar), Normal(0, 1)).sum()


def normal_of_exp_logvar(x_logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum")
    return rec + kl_divergence(Normal(mu, logvar.exp()), Normal(0, 1)).sum()


def normal_of_half_logvar(x_logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum")
    q = Normal(mu, (0.5 * logvar).exp())
    return rec + kl_divergence(q, Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum()


def normal_of_softplus(x_logits, x, loc, raw_scale):
    rec = F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum")
    return rec + kl_divergence(Normal(loc, F.softplus(raw_scale)), Normal(0, 1)).sum()


def normal_of_sqrt_var(x_logits, x, q_m, q_v):
    rec = F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").flatten(1).sum(-1)
    return (rec + kl_divergence(Normal(q_m, q_v.sqrt()), Normal(0, 1)).sum(1)).mean()


def clamped(x_logits, x, mu, log_var):
    log_var = torch.clamp(log_var, -30, 20)
    rec = F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum")
    return rec - 0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())


def squared_twice(x_logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum")
    return rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp().pow(2))
