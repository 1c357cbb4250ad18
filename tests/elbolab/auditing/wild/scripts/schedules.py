import math

import torch
import torch.nn.functional as F


def warm(recon, x, mu, logvar, epoch, warmup_epochs=10):
    beta = min(1.0, epoch / warmup_epochs)
    bce = F.binary_cross_entropy(recon, x, reduction="sum") / x.shape[0]
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / x.shape[0]
    return bce + beta * kld


def weighed(recon, x, mu, logvar, kl_weight):
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce + kl_weight * kld


def logistic(recon, x, mu, logvar, step, k=0.0025, x0=2500):
    weight = float(1 / (1 + math.exp(-k * (step - x0))))
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return (bce + weight * kld) / x.size(0)


def switched_on(recon, x, mu, logvar, epoch):
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    if epoch < 5:
        return bce
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def warm_to_a_tenth(recon, x, mu, logvar, step, total_steps):
    beta = 0.1 * min(1.0, step / total_steps)
    bce = F.binary_cross_entropy(recon, x, reduction="sum") / len(x)
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / len(x)
    return bce + beta * kld


def minibatch_weight(recon, x, mu, logvar, dataset_size):
    # one step sees a batch of the data set; the KL is spread over it
    rec = F.binary_cross_entropy(recon, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return dataset_size / x.shape[0] * (rec + kld)


def choice(recon, x, mu, logvar, loss_type="bce", reduce=True):
    if loss_type == "bce":
        rec = F.binary_cross_entropy(recon, x, reduction="none")
    elif loss_type == "mse":
        rec = F.mse_loss(recon, x, reduction="none")
    else:
        raise NotImplementedError
    out = rec.flatten(1).sum(-1) - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), -1)
    return out.mean() if reduce else out


def fading(recon, x, mu, logvar, epoch):
    # the KL's weight goes down to nothing
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    return bce + max(0.0, 1 - epoch / 100) * -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def crossfade(recon, x, mu, logvar, epoch, max_epochs):
    t = epoch / max_epochs
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    return (1 - t) * bce + t * -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def convex(recon, x, mu, logvar, alpha):
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    return alpha * bce + (1 - alpha) * -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def two_phases(recon, x, mu, logvar, epoch):
    weight = 1.0 if epoch < 10 else 0.1
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    return bce - 0.5 * weight * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
