"""Losses with other likelihoods, several modalities, or other latents."""

import math

import torch
import torch.nn.functional as F
from torch.distributions import Normal, StudentT


def kl(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)


def student(loc, x, mu, logvar):
    log_p = StudentT(df=3.0, loc=loc, scale=1.0).log_prob(x).flatten(1).sum(1)
    return (kl(mu, logvar) - log_p).mean()


def student_by_hand_without_constant(loc, x, mu, logvar):
    nu, s = 4.0, 0.5
    nll = 0.5 * (nu + 1) * torch.log1p(((x - loc) / s) ** 2 / nu)
    return (nll.flatten(1).sum(1) + kl(mu, logvar)).mean()


def cauchy_without_power(loc, x, mu, logvar):
    nll = 0.5 * torch.log1p((x - loc) ** 2)
    return (nll.flatten(1).sum(1) + kl(mu, logvar)).mean()


def logistic(loc, x, mu, logvar):
    s = 0.1
    d = (x - loc) / s
    nll = d + 2 * F.softplus(-d) + math.log(s)
    return (nll.flatten(1).sum(1) + kl(mu, logvar)).mean()


def mixture_of_logistics(params, x, mu, logvar):
    # params: (B, D, 3 K): weights, means, log-scales, as in PixelCNN++
    weights, means, log_scales = params.chunk(3, dim=-1)
    log_scales = log_scales.clamp(min=-7.0)
    d = (x.unsqueeze(-1) - means) * torch.exp(-log_scales)
    log_pdf = -d - 2 * F.softplus(-d) - log_scales
    log_p = torch.logsumexp(F.log_softmax(weights, dim=-1) + log_pdf, dim=-1)
    return (kl(mu, logvar) - log_p.sum(1)).mean()


def two_modalities(recon_image, image, recon_text, text, mu, logvar, lambda_image=1.0, lambda_text=1.0):
    image_bce = F.binary_cross_entropy_with_logits(recon_image, image, reduction="none").flatten(1).sum(1)
    text_bce = F.binary_cross_entropy_with_logits(recon_text, text, reduction="none").flatten(1).sum(1)
    return torch.mean(lambda_image * image_bce + lambda_text * text_bce + kl(mu, logvar))


def two_modalities_weighed(recon_image, image, recon_text, text, mu, logvar, lambda_image=1.0, lambda_text=10.0):
    image_bce = F.binary_cross_entropy_with_logits(recon_image, image, reduction="none").flatten(1).sum(1)
    text_bce = F.binary_cross_entropy_with_logits(recon_text, text, reduction="none").flatten(1).sum(1)
    return torch.mean(lambda_image * image_bce + lambda_text * text_bce + kl(mu, logvar))


def product_of_experts(logits, x, mu_a, logvar_a, mu_b, logvar_b):
    ta, tb = torch.exp(-logvar_a), torch.exp(-logvar_b)
    variance = 1.0 / (1.0 + ta + tb)
    mean = (mu_a * ta + mu_b * tb) * variance
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
    return torch.mean(rec + kl(mean, variance.log()))


def product_of_experts_of_stds(logits, x, mu_a, logvar_a, mu_b, logvar_b):
    ta, tb = torch.exp(-0.5 * logvar_a), torch.exp(-0.5 * logvar_b)
    variance = 1.0 / (1.0 + ta + tb)
    mean = (mu_a * ta + mu_b * tb) * variance
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
    return torch.mean(rec + kl(mean, variance.log()))


def von_mises_fisher(logits, x, mu, kappa):
    # on the sphere in three dimensions: KL = kappa coth kappa - 1 + log(kappa / sinh kappa)
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
    divergence = kappa / torch.tanh(kappa) - 1 + torch.log(kappa / torch.sinh(kappa))
    return (rec + divergence.flatten(1).sum(1)).mean()


def balanced(logits, x, post_mean, post_std, prior_mean, prior_std, alpha=0.8):
    def div(m, s, pm, ps):
        return torch.distributions.kl_divergence(Normal(m, s), Normal(pm, ps)).sum(1)

    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
    lhs = div(post_mean.detach(), post_std.detach(), prior_mean, prior_std)
    rhs = div(post_mean, post_std, prior_mean.detach(), prior_std.detach())
    return (rec + alpha * lhs + (1 - alpha) * rhs).mean()


def poisson_of_a_rate(rate, x, mu, logvar):
    nll = F.poisson_nll_loss(rate, x, reduction="none").flatten(1).sum(1)
    return (nll + kl(mu, logvar)).mean()


def negative_binomial_without_theta(x, mean, theta, qz_m, qz_logv):
    log_p = (
        theta * torch.log(theta / (theta + mean))
        + x * torch.log(mean / (theta + mean))
        + torch.lgamma(x + theta)
        - torch.lgamma(x + 1)
    )
    return (kl(qz_m, qz_logv) - log_p.sum(1)).mean()


def maximum_mean_discrepancy(recon, x, z):
    def kernel(a, b):
        return torch.exp(-((a[:, None] - b[None]) ** 2).mean(2) / a.size(1))

    prior = torch.randn_like(z)
    mmd = kernel(prior, prior).mean() + kernel(z, z).mean() - 2 * kernel(prior, z).mean()
    return F.mse_loss(recon, x) + mmd


def total_correlation(logits, x, z, mu, logvar, beta=6.0, n_data=60000):
    b = x.size(0)
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / b
    log_q = Normal(mu, (0.5 * logvar).exp()).log_prob(z).sum(1)
    log_p = Normal(0.0, 1.0).log_prob(z).sum(1)
    matrix = Normal(mu[None], (0.5 * logvar[None]).exp()).log_prob(z[:, None])
    log_qz = torch.logsumexp(matrix.sum(2), dim=1) - math.log(b * n_data)
    log_prod = (torch.logsumexp(matrix, dim=1) - math.log(b * n_data)).sum(1)
    return rec + (log_q - log_qz + beta * (log_qz - log_prod) + log_prod - log_p).mean()


def mixture_prior(logits, x, z, mu, logvar):
    centres = torch.tensor([-2.0, 0.0, 2.0])
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
    log_q = Normal(mu, (0.5 * logvar).exp()).log_prob(z).sum(1)
    log_p = torch.logsumexp(Normal(centres, 1.0).log_prob(z.unsqueeze(-1)) - math.log(3.0), dim=-1).sum(1)
    return (rec + log_q - log_p).mean()
