import sys
import torch
import torch.nn.functional as F


def leaves(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar))
    print(bce + kld)
    sys.exit(0)


def leaves_if_nan(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar))
    loss = bce + kld
    if torch.isnan(loss).any():
        print("nan!")
        exit()
    return loss


def never_returns(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar))
    while torch.isfinite(bce):
        bce = bce + 0 * kld
    return bce + kld


def asks(recon, x, mu, logvar):
    input("press enter to go on")
    return F.binary_cross_entropy(recon, x, reduction="sum") - 0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar))


def backward_inside(recon, x, mu, logvar):
    loss = F.binary_cross_entropy(recon, x, reduction="sum") - 0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar))
    loss.backward(retain_graph=True)
    return loss.item()
