import sys
import warnings
import torch
import torch.nn.functional as F


def vae_loss(recon, x, mu, logvar):
    print("SHAPES OF ALL", recon.shape, x.shape, mu.shape)
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    sys.stderr.write("BCE IS %f\n" % bce.item())
    kld = -0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar))
    warnings.warn("CAREFUL THERE")
    return bce + kld
