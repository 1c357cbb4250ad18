import math

import torch
import torch.nn.functional as F
from torch.distributions import Beta, ContinuousBernoulli, Laplace, Normal, StudentT


def kl(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)


def student(x_hat, x, mu, logvar):
    log_px = StudentT(df=3.0, loc=x_hat, scale=0.5).log_prob(x).flatten(1).sum(1)
    return (kl(mu, logvar) - log_px).mean()


def student_mean(x_hat, x, mu, logvar):
    log_px = StudentT(df=3.0, loc=x_hat, scale=0.5).log_prob(x).flatten(1).mean(1)
    return (kl(mu, logvar) - log_px).mean()


def beta(x_alpha, x_beta, x, mu, logvar):
    log_px = Beta(x_alpha, x_beta).log_prob(x).flatten(1).sum(1)
    return (kl(mu, logvar) - log_px).mean()


def continuous_bernoulli(x_logits, x, mu, logvar):
    log_px = ContinuousBernoulli(logits=x_logits).log_prob(x).flatten(1).sum(1)
    return (kl(mu, logvar) - log_px).mean()


def laplace(x_hat, x, mu, logvar):
    log_px = Laplace(x_hat, 0.1).log_prob(x).flatten(1).sum(1)
    return (kl(mu, logvar) - log_px).mean()


def normal_fixed(x_hat, x, mu, logvar, x_sigma=0.1):
    log_px = Normal(x_hat, x_sigma).log_prob(x).flatten(1).sum(1)
    return (kl(mu, logvar) - log_px).mean()


def normal_constant_dropped(x_hat, x, mu, logvar, sigma=0.1):
    rec = ((x - x_hat) ** 2).flatten(1).sum(1) / (2 * sigma**2)
    return (rec + kl(mu, logvar)).mean()


def two_outputs(x, x_mu, x_logvar, z_mu, z_logvar):
    nll = 0.5 * (math.log(2 * math.pi) + x_logvar + (x - x_mu) ** 2 / x_logvar.exp())
    return (nll.flatten(1).sum(1) + kl(z_mu, z_logvar)).mean()


def two_outputs_without_log(x, x_mu, x_logvar, z_mu, z_logvar):
    nll = 0.5 * (x - x_mu) ** 2 / x_logvar.exp()
    return (nll.flatten(1).sum(1) + kl(z_mu, z_logvar)).mean()


def two_outputs_torch(x, x_mu, x_var, z_mu, z_logvar):
    nll = F.gaussian_nll_loss(x_mu, x, x_var, full=True, reduction="sum") / len(x)
    return nll + kl(z_mu, z_logvar).mean()


def two_outputs_torch_mean(x, x_mu, x_var, z_mu, z_logvar):
    return F.gaussian_nll_loss(x_mu, x, x_var) + kl(z_mu, z_logvar).mean()


def optimal_sigma(x_hat, x, mu, logvar):
    """sigma^2 is the mean squared error of the batch itself."""
    d = x[0].numel()
    rec = 0.5 * d * torch.log(F.mse_loss(x_hat, x)) + 0.5 * d * (1 + math.log(2 * math.pi))
    return rec + kl(mu, logvar).mean()


def smooth_l1(x_hat, x, mu, logvar):
    rec = F.smooth_l1_loss(x_hat, x, reduction="sum") / len(x)
    return rec + kl(mu, logvar).mean()


def cosine(x_hat, x, mu, logvar):
    rec = (1 - F.cosine_similarity(x_hat.flatten(1), x.flatten(1))).sum() / len(x)
    return rec + kl(mu, logvar).mean()


def discretized_logistic(x_hat, x, mu, logvar, logscale=-3.0):
    """x in [0, 1] in steps of 1/255; a bin's probability is the difference of two sigmoids."""
    scale = math.exp(logscale)
    low = (torch.floor(x * 255) / 255 - x_hat) / scale
    p = torch.sigmoid(low + 1 / (255 * scale)) - torch.sigmoid(low)
    return (-torch.log(p + 1e-7).flatten(1).sum(1) + kl(mu, logvar)).mean()


def grey_levels(x_logits, x, mu, logvar):
    """256 classes a pixel: x_logits (batch, 256, h, w), x (batch, h, w) of integers."""
    rec = F.cross_entropy(x_logits, x.long(), reduction="none").sum(dim=(1, 2))
    return (rec + kl(mu, logvar)).mean()


def grey_levels_mean(x_logits, x, mu, logvar):
    rec = F.cross_entropy(x_logits, x.long())
    return rec + kl(mu, logvar).mean()
