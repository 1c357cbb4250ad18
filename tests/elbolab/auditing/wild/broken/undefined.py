import torch
import torch.nn.functional as F
from settings_of_mine import BETA


def loss(recon, x, mu, logvar):
    rec = F.binary_cross_entropy(recon, x, reduction="sum")
    return rec - BETA * 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def needs_a_network(x, netE, netD):
    mu, logvar = netE(x)
    z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
    rec = F.binary_cross_entropy_with_logits(netD(z), x, reduction="sum")
    return rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
