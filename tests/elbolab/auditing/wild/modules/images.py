"""Convolutional models and their losses: data are (batch, channels, height, width)."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class ConvVAE(nn.Module):
    def __init__(self, latent_dim=16):
        super().__init__()
        self.enc = nn.Sequential(nn.Conv2d(3, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.Flatten())
        self.mu = nn.Linear(16 * 8 * 8, latent_dim)
        self.logvar = nn.Linear(16 * 8 * 8, latent_dim)
        self.fc = nn.Linear(latent_dim, 16 * 8 * 8)
        self.dec = nn.Sequential(
            nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Sigmoid())

    def forward(self, x):
        h = self.enc(x)
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.dec(self.fc(z).view(-1, 16, 8, 8)), mu, logvar

    def loss(self, x):
        recon, mu, logvar = self(x)
        rec = F.binary_cross_entropy(recon, x, reduction="none").sum(dim=(1, 2, 3)).mean()
        return rec - 0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1).mean()

    def loss_channels_alone(self, x):
        recon, mu, logvar = self(x)
        rec = F.binary_cross_entropy(recon, x, reduction="none").sum(1).mean()
        return rec - 0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1).mean()

    def loss_means(self, x):
        recon, mu, logvar = self(x)
        return F.binary_cross_entropy(recon, x) - 0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())


def sum_1_mean(recon, x, mu, logvar):
    rec = F.binary_cross_entropy(recon, x, reduction="none").sum(1).mean()
    return rec - 0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1).mean()


def sum_last_mean(recon, x, mu, logvar):
    rec = F.mse_loss(recon, x, reduction="none").sum(-1).mean()
    return rec - 0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(-1).mean()


def of_images(recon, x, mu, logvar):
    b, c, h, w = x.shape
    rec = F.mse_loss(recon, x, reduction="sum") / b
    return rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / b


def of_images_mean_hw(recon, x, mu, logvar):
    b, c, h, w = x.shape
    rec = F.binary_cross_entropy(recon, x, reduction="sum") / (b * h * w)
    return rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / b


def reshaped(recon, x, mu, logvar):
    x = x.view(-1, 1, 28, 28)
    recon = recon.view(-1, 1, 28, 28)
    rec = F.binary_cross_entropy(recon, x, reduction="none").sum([2, 3]).mean()
    return rec - 0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1).mean()


def spatial_latents(recon, x, mu, logvar):
    """mu, logvar: (batch, channels, h, w), as in latent diffusion."""
    kl = 0.5 * torch.sum(mu.pow(2) + logvar.exp() - 1.0 - logvar, dim=[1, 2, 3])
    rec = F.mse_loss(recon, x, reduction="none").sum(dim=[1, 2, 3])
    return (0.5 * rec + kl).mean()


def spatial_latents_channels_alone(recon, x, mu, logvar):
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1).mean()
    rec = F.binary_cross_entropy(recon, x, reduction="sum") / x.shape[0]
    return rec + kl


def spatial_tiny_weight(recon, x, mu, logvar, kl_weight=1e-6):
    rec = torch.abs(x - recon).sum() / x.shape[0]
    kl = 0.5 * torch.sum(mu.pow(2) + logvar.exp() - 1.0 - logvar, dim=[1, 2, 3])
    return rec + kl_weight * kl.sum() / kl.shape[0]


class Posterior:
    def __init__(self, parameters):
        self.mean, self.logvar = torch.chunk(parameters, 2, dim=1)
        self.logvar = torch.clamp(self.logvar, -30.0, 20.0)

    def kl(self):
        return 0.5 * torch.sum(self.mean.pow(2) + self.logvar.exp() - 1.0 - self.logvar, dim=[1, 2, 3])


def with_posterior(inputs, reconstructions, posterior: Posterior):
    nll = 0.5 * (inputs - reconstructions).pow(2).sum() / inputs.shape[0]
    return nll + posterior.kl().mean()


def over_channels(recon, x, mu, logvar):
    b, c, h, w = x.shape
    rec = F.binary_cross_entropy(recon, x, reduction="sum") / (b * c)
    return rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / b
