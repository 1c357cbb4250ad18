import torch.nn.functional as F
from model import kl


def loss(recon, x, mu, logvar):
    return F.binary_cross_entropy(recon, x, reduction="sum") + kl(mu, logvar)


def loss_inside(recon, x, mu, logvar):
    from utils import bce
    return bce(recon, x) + kl(mu, logvar)
