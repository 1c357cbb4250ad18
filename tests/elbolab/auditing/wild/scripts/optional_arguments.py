import argparse
import torch
import torch.nn.functional as F


def get_args():
    p = argparse.ArgumentParser()
    p.add_argument("--beta", type=float, default=4.0)
    p.add_argument("--z_dim", type=int, default=10)
    return p.parse_args()


args = get_args()
beta = args.beta


def loss_fn(recon_x, x, mu, logvar):
    batch_size = x.size(0)
    recon_loss = F.binary_cross_entropy_with_logits(recon_x, x, reduction="sum") / batch_size
    kl_loss = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / batch_size
    return recon_loss + beta * kl_loss
