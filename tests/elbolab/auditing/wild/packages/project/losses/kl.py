import torch


def gaussian_kl(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=-1)


def half_kl(mu, logvar):
    return 0.5 * gaussian_kl(mu, logvar)
