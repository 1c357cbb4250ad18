"""Losses of image VAEs, as functions beside a training script."""

import math

import torch
import torch.nn.functional as F
from torch import distributions as dist
from torch import nn

bce_with_logits = nn.BCEWithLogitsLoss(reduction="none")
PRIOR_STD = 0.5


def flat_784(recon_x, x, mu, log_var):
    recon_loss = F.binary_cross_entropy(recon_x.view(-1, 784), x.view(-1, 784), reduction="none").sum(dim=-1)
    KLD = -0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=-1)
    return (recon_loss + KLD).mean(dim=0)


def with_einsum(recon, target, mean, variance):
    rec = F.binary_cross_entropy(recon, target, reduction="sum")
    quadratic = torch.einsum("bd,bd->", mean, mean)
    return rec + 0.5 * (quadratic + variance.sum() - variance.log().sum() - mean.numel())


def of_distributions(logits, x, mu, logvar):
    q = dist.Normal(mu, torch.exp(0.5 * logvar))
    p = dist.Normal(torch.zeros_like(mu), torch.ones_like(logvar))
    log_px = dist.Bernoulli(logits=logits).log_prob(x).flatten(start_dim=1).sum(-1)
    return -(log_px - dist.kl_divergence(q, p).sum(dim=1)).mean()


def distributions_swapped(logits, x, mu, logvar):
    q = dist.Normal(mu, torch.exp(0.5 * logvar))
    p = dist.Normal(torch.zeros_like(mu), torch.ones_like(logvar))
    log_px = dist.Bernoulli(logits=logits).log_prob(x).flatten(start_dim=1).sum(-1)
    return -(log_px - dist.kl_divergence(p, q).sum(dim=1)).mean()


def in_place(recon_x, x, mu, logvar):
    BCE = nn.BCELoss(reduction="sum")(recon_x, x)
    KLD_element = mu.pow(2).add_(logvar.exp()).mul_(-1).add_(1).add_(logvar)
    KLD = torch.sum(KLD_element).mul_(-0.5)
    return BCE + KLD


def in_place_one_lost(recon_x, x, mu, logvar):
    BCE = nn.BCELoss(reduction="sum")(recon_x, x)
    KLD_element = mu.pow(2).add_(logvar.exp()).mul_(-1).add_(1).add_(logvar)
    KLD = torch.sum(KLD_element).mul_(-0.5)
    return BCE + KLD.add_(KLD)


def tenth_of_variance(x_hat, x, mu, logvar):
    nll = F.gaussian_nll_loss(x_hat, x, var=torch.full_like(x, 0.1), reduction="sum") / x.size(0)
    kl = 0.5 * (mu.square() + logvar.exp() - 1.0 - logvar).sum(1).mean()
    return nll + kl


def decoder_std_given_as_variance(x, x_mean, x_logvar, z_mean, z_logvar):
    x_std = torch.exp(0.5 * x_logvar)
    nll = F.gaussian_nll_loss(x_mean, x, x_std, reduction="sum")
    kl = 0.5 * (z_mean.square() + z_logvar.exp() - 1.0 - z_logvar).sum()
    return nll + kl


def decoder_variance(x, x_mean, x_logvar, z_mean, z_logvar):
    log_px = -0.5 * (math.log(2 * math.pi) + x_logvar + (x - x_mean).pow(2) / x_logvar.exp())
    kl = 0.5 * (z_mean.square() + z_logvar.exp() - 1.0 - z_logvar)
    return kl.sum(1).mean() - log_px.sum(1).mean()


def decoder_log_halved(x, x_mean, x_logvar, z_mean, z_logvar):
    log_px = -0.5 * (math.log(2 * math.pi) + 0.5 * x_logvar + (x - x_mean).pow(2) / x_logvar.exp())
    kl = 0.5 * (z_mean.square() + z_logvar.exp() - 1.0 - z_logvar)
    return kl.sum(1).mean() - log_px.sum(1).mean()


def fixed_sigma(reconstruction, image, mu, logvar, sigma=0.3):
    n = image[0].numel()
    error = (image - reconstruction).flatten(1).pow(2).sum(1)
    nll = error / (2 * sigma**2) + n * math.log(sigma)
    kld = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1)
    return torch.mean(nll + kld)


def log_densities(x_logit, x, z, mean, logvar):
    def log_normal_pdf(sample, mean, logvar, raxis=1):
        log2pi = math.log(2.0 * math.pi)
        return torch.sum(-0.5 * ((sample - mean) ** 2 * torch.exp(-logvar) + logvar + log2pi), dim=raxis)

    cross_ent = F.binary_cross_entropy_with_logits(x_logit, x, reduction="none")
    logpx_z = -cross_ent.flatten(1).sum(1)
    logpz = log_normal_pdf(z, torch.zeros(()), torch.zeros(()))
    logqz_x = log_normal_pdf(z, mean, logvar)
    return -torch.mean(logpx_z + logpz - logqz_x)


def log_densities_std_for_logvar(x_logit, x, z, mean, logvar):
    def log_normal_pdf(sample, mean, std):
        log2pi = math.log(2.0 * math.pi)
        return torch.sum(-0.5 * ((sample - mean) ** 2 / std**2 + 2 * torch.log(std) + log2pi), dim=1)

    logpx_z = -F.binary_cross_entropy_with_logits(x_logit, x, reduction="none").flatten(1).sum(1)
    logpz = log_normal_pdf(z, torch.zeros(()), torch.ones(()))
    logqz_x = log_normal_pdf(z, mean, logvar.exp())
    return -torch.mean(logpx_z + logpz - logqz_x)


def log_densities_prior_averaged(x_logit, x, z, mean, logvar):
    logpx_z = -F.binary_cross_entropy_with_logits(x_logit, x, reduction="none").flatten(1).sum(1)
    logpz = dist.Normal(0.0, 1.0).log_prob(z).mean(dim=1)
    logqz_x = dist.Normal(mean, (0.5 * logvar).exp()).log_prob(z).sum(dim=1)
    return -torch.mean(logpx_z + logpz - logqz_x)


def module_criterion(logits, x, mu, logvar):
    rec = bce_with_logits(logits, x).sum() / x.size(0)
    kl = 0.5 * torch.sum(logvar.exp() + mu * mu - 1 - logvar) / x.size(0)
    return rec + kl


def subtracted_positive(recon_x, x, mu, logvar):
    bce = F.binary_cross_entropy(recon_x, x, reduction="sum")
    minus_kl = 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce - minus_kl


def subtracted_negative(recon_x, x, mu, logvar):
    bce = F.binary_cross_entropy(recon_x, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce - kld


def laplace_of_half(out, x, mu, logvar):
    b = 0.5
    rec = (torch.abs(x - out) / b + math.log(2 * b)).sum(dim=tuple(range(1, x.dim())))
    kld = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    return (rec + kld).mean()


def celeba_64(recon, x, mu, logvar):
    mse = F.mse_loss(recon, x) * 3 * 64 * 64 * 0.5
    kl = torch.mean(-0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp(), dim=1), dim=0)
    return mse + kl


def times_channels(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="mean") * x.shape[1]
    kl = torch.mean(-0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp(), dim=1))
    return bce + kl


def bce_averaged(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x)
    kl = -0.5 * torch.mean(torch.sum(1 + logvar - mu**2 - logvar.exp(), dim=1), dim=0)
    return bce + kl


def kl_over_the_batch(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="none").flatten(1).sum(1).mean()
    kl = torch.sum(0.5 * (logvar.exp() + mu**2 - 1 - logvar), dim=0).mean()
    return bce + kl


def bce_over_the_batch(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="none").flatten(1).sum(dim=0).mean()
    kl = torch.sum(0.5 * (logvar.exp() + mu**2 - 1 - logvar), dim=1).mean()
    return bce + kl


def kl_divergence(mu, logvar, weight=1.0):
    return weight * (-0.5 * (1 + logvar - mu**2 - logvar.exp())).sum(1).mean()


def charged_twice(recon, x, mu, logvar):
    def elbo():
        rec = F.binary_cross_entropy(recon, x, reduction="none").flatten(1).sum(1).mean()
        return rec + kl_divergence(mu, logvar)

    loss = elbo()
    loss = loss + kl_divergence(mu, logvar)
    return loss


def variance_held(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    var = logvar.detach().exp()
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - var)


def log_of_std(recon, x, mu, std):
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    return bce + 0.5 * torch.sum(mu.pow(2) + std.pow(2) - torch.log(std) - 1)


def prior_in_the_mean_alone(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    return bce + 0.5 * torch.sum(mu.pow(2) / PRIOR_STD**2 + logvar.exp() - logvar - 1)


def prior_of_half(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    ratio = (mu.pow(2) + logvar.exp()) / PRIOR_STD**2
    return bce + 0.5 * torch.sum(ratio - 1 - logvar + 2 * math.log(PRIOR_STD))


def at_least_half_a_nat(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="none").flatten(1).sum(1)
    kl = 0.5 * (mu.pow(2) + logvar.exp() - 1 - logvar)
    kl = torch.clamp(kl, min=0.5).mean(dim=1)
    return (bce + kl).mean()


def free_bits_of_the_batch(recon, x, mu, logvar, lam=0.1):
    bce = F.binary_cross_entropy(recon, x, reduction="none").flatten(1).sum(1).mean()
    kl = 0.5 * (mu.pow(2) + logvar.exp() - 1 - logvar)
    return bce + torch.maximum(kl.mean(0), torch.full_like(kl[0], lam)).sum()


def beta_normalised(recon, x, mu, logvar, beta=1.0):
    b = x.size(0)
    m, n = mu.size(1), x[0].numel()
    rec = F.binary_cross_entropy(recon, x, reduction="sum") / b
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / b
    return rec + beta * m / n * kl


def black_pixels_left_out(recon, x, mu, logvar):
    nll = F.binary_cross_entropy(recon, x, reduction="none")
    nll = (nll * (x > 0)).flatten(1).sum(1)
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)
    return (nll + kl).mean()


def both_heads_in_one(recon, x, stats):
    mu, logvar = stats.chunk(2, dim=1)
    rec = F.binary_cross_entropy_with_logits(recon, x, reduction="sum")
    return rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def frames(recon, video, mu, logvar):
    b, t, c, h, w = video.shape
    rec = F.mse_loss(recon, video, reduction="none").sum(dim=[2, 3, 4]).mean()
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / b
    return 0.5 * rec + kl


def frames_summed(recon, video, mu, logvar):
    b, t, c, h, w = video.shape
    rec = F.mse_loss(recon, video, reduction="none").sum(dim=[1, 2, 3, 4]).mean()
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / b
    return 0.5 * rec + kl


def from_the_start(recon, x, mu, logvar, step=0):
    weight = min(1.0, step / 1000)
    rec = F.binary_cross_entropy(recon, x, reduction="sum")
    return rec + weight * -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def in_cycles(recon, x, mu, logvar, step):
    weight = min(1.0, 2 * (step % 1000) / 1000)
    rec = F.binary_cross_entropy(recon, x, reduction="sum")
    return rec + weight * -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
