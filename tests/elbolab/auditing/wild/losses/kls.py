"""Kullback-Leibler terms, as they come."""

import math

import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence


def bce(recon, x):
    return F.binary_cross_entropy(recon, x, reduction="sum")


def without_the_half(recon, x, mu, logvar):
    return bce(recon, x) - torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def without_the_one(recon, x, mu, logvar):
    return bce(recon, x) - 0.5 * torch.sum(logvar - mu.pow(2) - logvar.exp())


def plus_sign(recon, x, mu, logvar):
    return bce(recon, x) + 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def without_square(recon, x, mu, logvar):
    return bce(recon, x) - 0.5 * torch.sum(1 + logvar - mu - logvar.exp())


def sign_of_logvar(recon, x, mu, logvar):
    return bce(recon, x) - 0.5 * torch.sum(1 - logvar - mu.pow(2) - logvar.exp())


def parenthesis(recon, x, mu, logvar):
    return bce(recon, x) - 0.5 * torch.sum(1 + logvar - (mu.pow(2) - logvar.exp()))


def reversed_direction(recon, x, mu, logvar):
    q, p = Normal(mu, torch.exp(0.5 * logvar)), Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return bce(recon, x) + kl_divergence(p, q).sum()


def averaged_latents(recon, x, mu, logvar):
    kl = -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)
    return bce(recon, x) + kl.sum()


def summed_batch_averaged_latents(recon, x, mu, logvar):
    return bce(recon, x) - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=0).mean()


def mean_everywhere(recon, x, mu, logvar):
    return F.binary_cross_entropy(recon, x) - 0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())


def wide_prior(recon, x, mu, logvar):
    q, p = Normal(mu, torch.exp(0.5 * logvar)), Normal(torch.zeros_like(mu), 2 * torch.ones_like(mu))
    return bce(recon, x) + kl_divergence(q, p).sum()


def narrow_noise(recon, x, mu, logvar):
    # eps ~ N(0, 0.01): the prior that goes with it
    eps_std = 0.1
    kl = 0.5 * ((mu / eps_std) ** 2 + logvar.exp() / eps_std**2 - 1 - logvar + 2 * math.log(eps_std)).sum()
    return bce(recon, x) + kl


def free_bits_each(recon, x, mu, logvar):
    kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp())
    return bce(recon, x) + torch.clamp(kl.mean(0), min=0.5).sum()


def free_nats_in_all(recon, x, mu, logvar, free_nats=3.0):
    kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(-1)
    rec = F.binary_cross_entropy(recon, x, reduction="none").flatten(1).sum(-1)
    return (rec + torch.max(kl, kl.new_full(kl.size(), free_nats))).mean()


def capacity(recon, x, mu, logvar, gamma=30.0, C=25.0):
    kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(-1).mean()
    return bce(recon, x) / len(x) + gamma * (kl - C).abs()


def detached_mean(recon, x, mu, logvar):
    return bce(recon, x) - 0.5 * torch.sum(1 + logvar - mu.detach().pow(2) - logvar.exp())


def as_number(recon, x, mu, logvar):
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce(recon, x) + kl.item()


def without_gradients(recon, x, mu, logvar):
    with torch.no_grad():
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce(recon, x) + kl


def balanced(recon, x, mu, logvar, alpha=0.8):
    """Dreamer's balance, with the prior N(0, 1): the value is the KL, its gradient to q is weighed."""
    std = torch.exp(0.5 * logvar)
    p = Normal(torch.zeros_like(mu), torch.ones_like(std))
    held = kl_divergence(Normal(mu.detach(), std.detach()), p).sum()
    free = kl_divergence(Normal(mu, std), p).sum()
    return bce(recon, x) + alpha * held + (1 - alpha) * free


def two_levels(recon, x, mu1, logvar1, mu2, logvar2):
    kl1 = -0.5 * torch.sum(1 + logvar1 - mu1.pow(2) - logvar1.exp())
    kl2 = -0.5 * torch.sum(1 + logvar2 - mu2.pow(2) - logvar2.exp())
    return bce(recon, x) + kl1 + kl2


def two_levels_one_forgotten(recon, x, mu1, logvar1, mu2, logvar2):
    kl1 = -0.5 * torch.sum(1 + logvar1 - mu1.pow(2) - logvar1.exp())
    kl2 = -0.5 * torch.sum(1 + logvar2 - mu1.pow(2) - logvar2.exp())
    return bce(recon, x) + kl1 + kl2


def learned_prior(recon, x, q_mu, q_logvar, p_mu, p_logvar):
    """KL of the posterior to a prior that has outputs of its own (ladder, conditional, SVG)."""
    kl = 0.5 * (p_logvar - q_logvar + (q_logvar.exp() + (q_mu - p_mu) ** 2) / p_logvar.exp() - 1)
    return bce(recon, x) + kl.sum()


def learned_prior_upside_down(recon, x, q_mu, q_logvar, p_mu, p_logvar):
    kl = 0.5 * (p_logvar - q_logvar + (q_logvar.exp() + (q_mu - p_mu) ** 2) / q_logvar.exp() - 1)
    return bce(recon, x) + kl.sum()


def l2_only(recon, x, mu, logvar):
    return bce(recon, x) + 0.5 * mu.pow(2).sum()


def l1_on_mean(recon, x, mu, logvar):
    return bce(recon, x) + mu.abs().sum() + logvar.abs().sum()


def from_three_parts(recon, x, mu, logvar):
    cross_entropy = 0.5 * (math.log(2 * math.pi) + mu.pow(2) + logvar.exp()).sum()
    entropy = 0.5 * (1 + math.log(2 * math.pi) + logvar).sum()
    return bce(recon, x) + cross_entropy - entropy


def objective_to_maximise(recon, x, mu, logvar):
    return -bce(recon, x) + 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def kl_only(mu, logvar):
    return torch.mean(-0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp(), dim=1), dim=0)


def kl_only_wrong(mu, logvar):
    return torch.mean(-0.5 * torch.sum(1 + logvar - mu**2 - (0.5 * logvar).exp(), dim=1), dim=0)


def multivariate(recon, x, mu, logvar):
    q = torch.distributions.MultivariateNormal(mu, torch.diag_embed(logvar.exp()))
    p = torch.distributions.MultivariateNormal(torch.zeros_like(mu), torch.diag_embed(torch.ones_like(mu)))
    return bce(recon, x) + kl_divergence(q, p).sum()


def multivariate_of_stds(recon, x, mu, logvar):
    # standard deviations where the covariance belongs
    q = torch.distributions.MultivariateNormal(mu, torch.diag_embed(torch.exp(0.5 * logvar)))
    p = torch.distributions.MultivariateNormal(torch.zeros_like(mu), torch.diag_embed(torch.ones_like(mu)))
    return bce(recon, x) + kl_divergence(q, p).sum()


def some_latents(recon, x, mu, logvar):
    return bce(recon, x) - 0.5 * torch.sum((1 + logvar - mu.pow(2) - logvar.exp())[:, 1:])


def adaptive(recon, x, mu, logvar):
    # both terms are kept equally large
    rec, kl = bce(recon, x), -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return rec + (rec / kl).detach() * kl
