"""A trainer whose method computes the loss of a batch."""

import argparse

import torch
import torch.nn.functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--num-train", type=int, default=60000)
parser.add_argument("--beta", type=float, default=1.0)
args = parser.parse_args()


class Trainer:
    def __init__(self, model, optimizer, device="cpu"):
        self.model = model.to(device)
        self.optimizer = optimizer
        self.beta = args.beta

    def compute_loss(self, outputs, batch):
        recon, mu, logvar = outputs["recon"], outputs["mu"], outputs["logvar"]
        rec = F.binary_cross_entropy_with_logits(recon, batch["image"], reduction="sum")
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return (rec + self.beta * kl) / len(mu)

    def compute_loss_of_the_epoch(self, outputs, batch):
        recon, mu, logvar = outputs["recon"], outputs["mu"], outputs["logvar"]
        rec = F.binary_cross_entropy_with_logits(recon, batch["image"], reduction="sum") / len(mu)
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / len(mu)
        return rec + len(mu) / args.num_train * kl


def loss_fn(recon, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(recon, x, reduction="sum")
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return rec + args.beta * kl
