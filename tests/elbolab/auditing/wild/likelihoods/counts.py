"""Counts: words, molecules of RNA."""

import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence


def log_nb_positive(x, mu, theta, eps=1e-8):
    """Negative binomial with mean mu and inverse dispersion theta."""
    log_theta_mu = torch.log(theta + mu + eps)
    return (
        theta * (torch.log(theta + eps) - log_theta_mu)
        + x * (torch.log(mu + eps) - log_theta_mu)
        + torch.lgamma(x + theta)
        - torch.lgamma(theta)
        - torch.lgamma(x + 1)
    )


def log_zinb_positive(x, mu, theta, pi, eps=1e-8):
    """pi: logits of a zero that has no molecule behind it."""
    softplus_pi = F.softplus(-pi)
    log_theta_eps = torch.log(theta + eps)
    log_theta_mu = torch.log(theta + mu + eps)
    zero = -pi + theta * (log_theta_eps - log_theta_mu)
    case_zero = F.softplus(zero) - softplus_pi
    case_more = (
        -softplus_pi + zero + x * (torch.log(mu + eps) - log_theta_mu)
        + torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1)
    )
    return torch.where(x < eps, case_zero, case_more)


def kl(qz_m, qz_v):
    return kl_divergence(Normal(qz_m, torch.sqrt(qz_v)), Normal(torch.zeros_like(qz_m), torch.ones_like(qz_v))).sum(1)


def nb(x, px_rate, px_r, qz_m, qz_v):
    return (-log_nb_positive(x, px_rate, px_r).sum(-1) + kl(qz_m, qz_v)).mean()


def nb_without_gamma(x, px_rate, px_r, qz_m, qz_v):
    """The gamma functions of theta were dropped as constants, which they are not when theta is learned."""
    eps = 1e-8
    log_theta_mu = torch.log(px_r + px_rate + eps)
    log_p = px_r * (torch.log(px_r + eps) - log_theta_mu) + x * (torch.log(px_rate + eps) - log_theta_mu)
    return (-log_p.sum(-1) + kl(qz_m, qz_v)).mean()


def nb_weighted(x, px_rate, px_r, qz_m, qz_v):
    return (-log_nb_positive(x, px_rate, px_r).mean(-1) + kl(qz_m, qz_v)).mean()


def zinb(x, px_rate, px_r, px_dropout, qz_m, qz_v):
    return (-log_zinb_positive(x, px_rate, px_r, px_dropout).sum(-1) + kl(qz_m, qz_v)).mean()


def two_kls(x, px_rate, px_r, qz_m, qz_v, ql_m, ql_v, kl_weight=1.0):
    """A second latent, the library size, whose prior is N(0, 1) here."""
    rec = -log_nb_positive(x, px_rate, px_r).sum(-1)
    return (rec + kl_weight * kl(qz_m, qz_v) + kl(ql_m, ql_v)).mean()


def poisson_log(log_rate, x, mu, logvar):
    rec = F.poisson_nll_loss(log_rate, x, log_input=True, full=False, reduction="sum")
    return (rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())) / x.size(0)


def poisson_rate(rate, x, mu, logvar):
    rec = F.poisson_nll_loss(rate, x, log_input=False, reduction="sum")
    return (rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())) / x.size(0)


def poisson_mean(log_rate, x, mu, logvar):
    rec = F.poisson_nll_loss(log_rate, x)
    return rec - 0.5 * torch.mean(torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), 1))


def multinomial(logits, x, mu, logvar, anneal=1.0):
    """Collaborative filtering: x is a bag of items."""
    bce = -torch.mean(torch.sum(F.log_softmax(logits, 1) * x, -1))
    kld = -0.5 * torch.mean(torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1))
    return bce + anneal * kld


def multinomial_mean(logits, x, mu, logvar):
    bce = -torch.mean(F.log_softmax(logits, 1) * x)
    kld = -0.5 * torch.mean(torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1))
    return bce + kld


def kl_div_as_likelihood(probs, x, mu, logvar):
    rec = F.kl_div(torch.log(probs), x, reduction="sum")
    return rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
