import argparse

import torch
import torch.nn.functional as F

p = argparse.ArgumentParser()
p.add_argument("data_dir")
p.add_argument("--beta", type=float, default=4.0)
p.add_argument("--lr", type=float, required=True)
opt = p.parse_args()


def elbo_loss(x_logits, x, mu, log_var):
    rec = F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").flatten(1).sum(1)
    kld = 0.5 * (mu**2 + log_var.exp() - log_var - 1).sum(1)
    return (rec + kld).mean()


def beta_loss(x_logits, x, mu, log_var):
    rec = F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").flatten(1).sum(1)
    kld = 0.5 * (mu**2 + log_var.exp() - log_var - 1).sum(1)
    return (rec + opt.beta * kld).mean()
