import math

import torch
import torch.nn.functional as F
from torch.distributions import Normal


def log_normal_pdf(sample, mean, logvar):
    log2pi = math.log(2.0 * math.pi)
    return torch.sum(-0.5 * ((sample - mean) ** 2 * torch.exp(-logvar) + logvar + log2pi), dim=1)


def from_densities(x_logit, x, z, mean, logvar):
    cross_ent = F.binary_cross_entropy_with_logits(x_logit, x, reduction="none")
    logpx_z = -cross_ent.flatten(1).sum(1)
    zero = torch.zeros_like(z)
    logpz = log_normal_pdf(z, zero, zero)
    logqz_x = log_normal_pdf(z, mean, logvar)
    return -torch.mean(logpx_z + logpz - logqz_x)


def signs_swapped(x_logit, x, z, mean, logvar):
    logpx_z = -F.binary_cross_entropy_with_logits(x_logit, x, reduction="none").flatten(1).sum(1)
    zero = torch.zeros_like(z)
    return -torch.mean(logpx_z - log_normal_pdf(z, zero, zero) + log_normal_pdf(z, mean, logvar))


def without_entropy(x_logit, x, z, mean, logvar):
    logpx_z = -F.binary_cross_entropy_with_logits(x_logit, x, reduction="none").flatten(1).sum(1)
    zero = torch.zeros_like(z)
    return -torch.mean(logpx_z + log_normal_pdf(z, zero, zero))


def draws_its_own(x_hat, x, mu, std):
    """As in Lightning's examples: q and p as distributions, z drawn here."""
    q = Normal(mu, std)
    p = Normal(torch.zeros_like(mu), torch.ones_like(std))
    z = q.rsample()
    kl = (q.log_prob(z) - p.log_prob(z)).sum(-1)
    rec = F.binary_cross_entropy(x_hat, x, reduction="none").flatten(1).sum(-1)
    return (rec + kl).mean()


def draws_and_averages_latents(x_hat, x, mu, std):
    q = Normal(mu, std)
    p = Normal(torch.zeros_like(mu), torch.ones_like(std))
    z = q.rsample()
    kl = (q.log_prob(z) - p.log_prob(z)).mean()
    rec = F.binary_cross_entropy(x_hat, x, reduction="none").flatten(1).sum(-1).mean()
    return rec + 0.1 * kl


def draws_without_path(x_hat, x, mu, std):
    # sample() where rsample() belongs: the path through z is cut
    q = Normal(mu, std)
    z = q.sample()
    kl = (q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(-1)
    rec = F.binary_cross_entropy(x_hat, x, reduction="none").flatten(1).sum(-1)
    return (rec + kl).mean()


def mixture_prior(x_hat, x, mu, logvar):
    """log p(z) of three Gaussians with equal weights, at a sample."""
    std = torch.exp(0.5 * logvar)
    z = mu + std * torch.randn_like(std)
    log_q = Normal(mu, std).log_prob(z).sum(-1)
    centres = z.new_tensor([-2.0, 0.0, 2.0]).view(3, 1, 1)
    log_p = torch.logsumexp(Normal(centres, 1.0).log_prob(z).sum(-1), 0) - math.log(3)
    rec = F.binary_cross_entropy(x_hat, x, reduction="none").flatten(1).sum(-1)
    return (rec + log_q - log_p).mean()
