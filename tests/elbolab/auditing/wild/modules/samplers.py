"""Whole models whose loss looks right, while z is not what the KL charges for; and some where it is."""

import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F


class Model(nn.Module):
    def __init__(self, n_in=20, n_z=3):
        super().__init__()
        self.encoder = nn.Linear(n_in, 2 * n_z)
        self.second_encoder = nn.Linear(n_in, 2 * n_z)
        self.decoder = nn.Linear(n_z, n_in)
        self.unet = nn.Linear(n_z + n_in, n_in)
        self.probabilities = nn.Sequential(nn.Linear(n_z, n_in), nn.Sigmoid())

    def heads(self, x):
        return self.encoder(x).chunk(2, dim=-1)

    def objective(self, logits, x, mu, logvar):
        rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        return (rec + 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(-1)).mean()

    def right(self, x):
        mu, logvar = self.heads(x)
        z = torch.normal(torch.zeros_like(mu), torch.ones_like(mu)) * torch.exp(logvar * 0.5) + mu
        return self.objective(self.decoder(z), x, mu, logvar)

    def evaluates_the_mean(self, x):
        mu, logvar = self.heads(x)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar) if self.training else mu
        return self.objective(self.decoder(z), x, mu, logvar)

    def cold(self, x, temperature=0.5):
        mu, logvar = self.heads(x)
        z = mu + temperature * torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.objective(self.decoder(z), x, mu, logvar)

    def noise_of_one_latent(self, x):
        mu, logvar = self.heads(x)
        z = mu + torch.randn(x.size(0), 1) * torch.exp(0.5 * logvar)
        return self.objective(self.decoder(z), x, mu, logvar)

    def uniform(self, x):
        mu, logvar = self.heads(x)
        z = mu + torch.rand_like(mu) * torch.exp(0.5 * logvar)
        return self.objective(self.decoder(z), x, mu, logvar)

    def without_path(self, x):
        mu, logvar = self.heads(x)
        z = Normal(mu, torch.exp(0.5 * logvar)).sample()
        return self.objective(self.decoder(z), x, mu, logvar)

    def softplus_in_the_kl(self, x):
        mu, raw = self.heads(x)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * raw)
        rec = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(-1)
        return (rec + kl_divergence(Normal(mu, F.softplus(raw)), Normal(0.0, 1.0)).sum(-1)).mean()

    def other_encoder(self, x):
        mu, logvar = self.heads(x)
        mu2, logvar2 = self.second_encoder(x).chunk(2, dim=-1)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.objective(self.decoder(z), x, mu2, logvar2)

    def other_datum(self, x):
        mu, logvar = self.heads(x)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.objective(self.decoder(z[torch.randperm(z.size(0))]), x, mu, logvar)

    def skip_connection(self, x):
        # the decoder sees the data: nothing has to go through z
        mu, logvar = self.heads(x)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.objective(self.unet(torch.cat([z, x], -1)), x, mu, logvar)

    def sigmoid_then_logits(self, x):
        mu, logvar = self.heads(x)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.objective(self.probabilities(z), x, mu, logvar)

    def frozen_encoder(self, x):
        with torch.no_grad():
            mu, logvar = self.heads(x)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.objective(self.decoder(z), x, mu, logvar)
