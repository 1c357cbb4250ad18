"""A LightningModule: the loss stands in training_step."""

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F


class LitAutoencoder(pl.LightningModule):
    def __init__(self, input_dim=784, latent_dim=16):
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(input_dim, 64), nn.ReLU(), nn.Linear(64, 2 * latent_dim))
        self.decoder = nn.Sequential(nn.Linear(latent_dim, 64), nn.ReLU(), nn.Linear(64, input_dim), nn.Sigmoid())

    def training_step(self, batch, batch_idx):
        x, _ = batch
        x = x.view(x.size(0), -1)
        mean, log_var = self.encoder(x).chunk(2, dim=-1)
        z = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
        x_hat = self.decoder(z)
        rec = F.binary_cross_entropy(x_hat, x, reduction="sum") / x.size(0)
        kl = 0.5 * (mean**2 + log_var.exp() - log_var - 1).sum(-1).mean()
        self.log("train_rec", rec)
        self.log("train_kl", kl)
        return rec + kl

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class LitAveraged(LitAutoencoder):
    def training_step(self, batch, batch_idx):
        x, _ = batch
        x = x.view(x.size(0), -1)
        mean, log_var = self.encoder(x).chunk(2, dim=-1)
        z = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
        x_hat = self.decoder(z)
        rec = F.binary_cross_entropy(x_hat, x)
        kl = 0.5 * (mean**2 + log_var.exp() - log_var - 1).sum(-1).mean()
        loss = rec + kl
        self.log("train_loss", loss)
        return {"loss": loss, "rec": rec}
