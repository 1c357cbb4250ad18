import torch
import torch.nn.functional as F


def now(recon_x, x, mu, logvar):
    bce = F.binary_cross_entropy(recon_x, x.view(-1, 784), reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def of_2017(recon_x, x, mu, logvar):
    bce = F.binary_cross_entropy(recon_x, x.view(-1, 784))
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / (len(x) * 784)


def mean_over_latents(recon, x, z_mean, z_log_var):
    bce = F.binary_cross_entropy(recon, x, reduction="none").sum((1, 2)).mean()
    return bce - 0.5 * (1 + z_log_var - z_mean**2 - z_log_var.exp()).mean()
