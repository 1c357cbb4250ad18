"""Latents that are categories, or unit vectors."""

import math

import torch
import torch.nn.functional as F


def gumbel(recon_x, x, qy, categorical_dim=10):
    """qy: probabilities, (batch, latents, categories)."""
    BCE = F.binary_cross_entropy(recon_x, x, reduction="sum") / x.shape[0]
    KLD = (qy * torch.log(qy * categorical_dim + 1e-20)).sum((1, 2)).mean()
    return BCE + KLD


def gumbel_averaged(recon_x, x, qy, categorical_dim=10):
    # qy: (batch, latents, categories); the mean is over batch and latents
    BCE = F.binary_cross_entropy(recon_x, x, reduction="sum") / x.shape[0]
    KLD = torch.sum(qy * torch.log(qy * categorical_dim + 1e-20), dim=-1).mean()
    return BCE + KLD


def gumbel_of_logits(recon_logits, x, q_logits):
    """KL to the uniform, of logits (batch, latents, categories)."""
    log_q = F.log_softmax(q_logits, -1)
    kl = (log_q.exp() * (log_q + math.log(q_logits.size(-1)))).sum((1, 2))
    rec = F.binary_cross_entropy_with_logits(recon_logits, x, reduction="none").flatten(1).sum(1)
    return (rec + kl).mean()


def entropy_sign(recon_logits, x, q_logits):
    log_q = F.log_softmax(q_logits, -1)
    entropy = -(log_q.exp() * log_q).sum((1, 2))
    rec = F.binary_cross_entropy_with_logits(recon_logits, x, reduction="none").flatten(1).sum(1)
    return (rec + entropy).mean()


def codebook(recon, x, z_e, z_q, beta=0.25):
    """Vector quantisation: no posterior, a commitment."""
    rec = F.mse_loss(recon, x)
    return rec + F.mse_loss(z_q, z_e.detach()) + beta * F.mse_loss(z_e, z_q.detach())


def kernel(recon, x, z):
    """Maximum mean discrepancy of the codes to draws from the prior."""
    prior = torch.randn_like(z)

    def k(a, b):
        return torch.exp(-((a[:, None] - b[None]) ** 2).mean(2) / a.size(1)).mean()

    return F.mse_loss(recon, x, reduction="sum") / len(x) + k(prior, prior) + k(z, z) - 2 * k(prior, z)


def gaussian_and_categorical(recon, x, mu, logvar, alpha):
    """JointVAE: both kinds of latents; alpha are probabilities (batch, categories)."""
    rec = F.binary_cross_entropy(recon, x, reduction="sum") / len(x)
    kl_cont = (-0.5 * (1 + logvar - mu.pow(2) - logvar.exp())).sum(1).mean()
    kl_disc = (alpha * torch.log(alpha * alpha.size(1) + 1e-12)).sum(1).mean()
    return rec + kl_cont + kl_disc
