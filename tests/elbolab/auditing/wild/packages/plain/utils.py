import torch.nn.functional as F


def bce(recon, x):
    return F.binary_cross_entropy(recon, x, reduction="mean")
