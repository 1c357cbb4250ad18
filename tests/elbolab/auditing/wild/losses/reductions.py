import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

ORIGINAL_DIM = 784
IMG_SHAPE = (3, 32, 32)
BATCH = 64
criterion_mean = nn.MSELoss()
criterion_bce = nn.BCELoss()


def kl_mean(mu, logvar):
    return (-0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1)).mean()


def hard_784_bce(recon, x, mu, logvar):
    return ORIGINAL_DIM * criterion_bce(recon, x) + kl_mean(mu, logvar)


def hard_784_mse(recon, x, mu, logvar):
    rec = F.mse_loss(recon, x) * 784
    return rec + kl_mean(mu, logvar)


def hard_3072(recon, x, mu, logvar):
    rec = F.binary_cross_entropy(recon, x) * int(np.prod(IMG_SHAPE))
    return rec + kl_mean(mu, logvar)


def hard_12288(x_logits, x, mu, logvar):
    return 64 * 64 * 3 * F.binary_cross_entropy_with_logits(x_logits, x) + kl_mean(mu, logvar)


def hard_wrong(x_logits, x, mu, logvar):
    # 28 for 28 x 28
    x = x.view(-1, 28 * 28)
    return 28 * F.binary_cross_entropy_with_logits(x_logits, x) + kl_mean(mu, logvar)


def hard_batch(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="sum") / BATCH
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / BATCH
    return bce + kld


def hard_batch_once(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="none").flatten(1).sum(1).mean()
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / BATCH
    return bce + kld


def mse_mean_kl_mean(recon, x, mu, logvar):
    return criterion_mean(recon, x) - 0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())


def mse_mean_kl_sum(recon, x, mu, logvar):
    return criterion_mean(recon, x) - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def mse_mean_kl_per_datum(recon, x, mu, logvar):
    return F.mse_loss(recon, x) + kl_mean(mu, logvar)


def mse_sum_kl_per_datum(recon, x, mu, logvar):
    return F.mse_loss(recon, x, reduction="sum") + kl_mean(mu, logvar)


def mse_half(recon, x, mu, logvar):
    return 0.5 * F.mse_loss(recon, x, reduction="sum") - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def mse_with_small_beta(recon, x, mu, logvar, kld_weight=0.00025):
    return F.mse_loss(recon, x) + kld_weight * kl_mean(mu, logvar)


def both_times_numel(recon, x, mu, logvar):
    n = x[0].numel()
    return F.binary_cross_entropy(recon, x) * n + kl_mean(mu, logvar)


def times_first_axis(recon, x, mu, logvar):
    return F.binary_cross_entropy(recon, x) * x.size(0) + kl_mean(mu, logvar)


def bits_per_dim(x_logits, x, mu, logvar):
    nats = F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum") / x.size(0) + kl_mean(mu, logvar)
    return nats / (np.log(2.0) * x[0].numel())


def absolute(recon, x, mu, logvar):
    return F.l1_loss(recon, x, reduction="sum") / x.size(0) + kl_mean(mu, logvar)


def absolute_mean(recon, x, mu, logvar):
    return F.l1_loss(recon, x) + kl_mean(mu, logvar)


def squared_then_root(recon, x, mu, logvar):
    # RMSE
    return torch.sqrt(F.mse_loss(recon, x)) + kl_mean(mu, logvar)


def sigmoid_twice(recon, x, mu, logvar):
    # recon went through a sigmoid already
    assert recon.min() >= 0 and recon.max() <= 1
    return F.binary_cross_entropy_with_logits(recon, x, reduction="sum") / len(x) + kl_mean(mu, logvar)


def target_first(recon, x, mu, logvar):
    return F.binary_cross_entropy(x, recon, reduction="sum") / len(x) + kl_mean(mu, logvar)


def mse_on_logits(x_logits, x, mu, logvar):
    return F.mse_loss(torch.sigmoid(x_logits), x, reduction="sum") / len(x) + kl_mean(mu, logvar)


def pos_weight(x_logits, x, mu, logvar):
    weight = x_logits.new_tensor(3.0)
    rec = F.binary_cross_entropy_with_logits(x_logits, x, pos_weight=weight, reduction="sum") / len(x)
    return rec + kl_mean(mu, logvar)


def no_such_reduction(recon, x, mu, logvar):
    return F.binary_cross_entropy(recon, x, reduction="batchmean") + kl_mean(mu, logvar)


def several(recon, x, mu, logvar):
    rec = F.binary_cross_entropy(recon, x, reduction="sum") / len(x)
    kl = kl_mean(mu, logvar)
    return rec, kl, rec + kl


def named(recon, x, mu, logvar):
    rec = F.binary_cross_entropy(recon, x, reduction="sum") / len(x)
    kl = kl_mean(mu, logvar)
    return {"total_loss": rec + kl, "rec_loss": rec.detach(), "kld": -kl.detach()}
