"""Whole models with their losses, as classes."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import Bernoulli, Normal, kl_divergence


class Base(nn.Module):
    def __init__(self, data_dim=64, hidden=32, latent_dim=5):
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(nn.Linear(data_dim, hidden), nn.Tanh())
        self.fc_mu = nn.Linear(hidden, latent_dim)
        self.fc_logvar = nn.Linear(hidden, latent_dim)
        self.decoder = nn.Sequential(nn.Linear(latent_dim, hidden), nn.Tanh(), nn.Linear(hidden, data_dim))

    def encode(self, x):
        h = self.encoder(x)
        return self.fc_mu(h), self.fc_logvar(h)

    def reparameterize(self, mu, logvar):
        return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)


class WithPrior(Base):
    def __init__(self):
        super().__init__()
        self.register_buffer("prior_loc", torch.zeros(5))
        self.register_buffer("prior_scale", torch.ones(5))

    def loss(self, x):
        mu, logvar = self.encode(x)
        q = Normal(mu, (0.5 * logvar).exp())
        z = q.rsample()
        log_px = Bernoulli(logits=self.decoder(z)).log_prob(x).sum(-1)
        kl = kl_divergence(q, Normal(self.prior_loc, self.prior_scale)).sum(-1)
        return (kl - log_px).mean()


class ScaleIsLogvar(Base):
    def reparameterize(self, mu, logvar):
        eps = torch.randn_like(logvar)
        return eps * logvar + mu

    def loss(self, x):
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar)
        rec = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        return rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


class ScaleIsVariance(Base):
    def reparameterize(self, mu, logvar):
        return torch.normal(0.0, 1.0, size=mu.shape) * torch.exp(logvar) + mu

    def loss(self, x):
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar)
        rec = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        return rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


class SigmoidTwice(Base):
    def decode(self, z):
        return torch.sigmoid(self.decoder(z))

    def loss(self, x):
        mu, logvar = self.encode(x)
        recon = self.decode(self.reparameterize(mu, logvar))
        rec = F.binary_cross_entropy_with_logits(recon, x, reduction="none").sum(1)
        return (rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)).mean()


class SigmoidOnce(Base):
    def decode(self, z):
        return torch.sigmoid(self.decoder(z))

    def loss(self, x):
        mu, logvar = self.encode(x)
        recon = self.decode(self.reparameterize(mu, logvar))
        rec = F.binary_cross_entropy(recon, x, reduction="none").sum(1)
        return (rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)).mean()


class SigmaOnce(Base):
    """A learned sigma, whose logarithm is counted once and not once per pixel."""

    def __init__(self):
        super().__init__()
        self.log_sigma = nn.Parameter(torch.zeros(()))

    def loss(self, x):
        mu, logvar = self.encode(x)
        recon = self.decoder(self.reparameterize(mu, logvar))
        mse = F.mse_loss(recon, x, reduction="none").sum(1)
        nll = 0.5 * mse / torch.exp(2 * self.log_sigma) + self.log_sigma
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)
        return (nll + kl).mean()


class SigmaOfMean(Base):
    """Squared error averaged, its half over a learned variance."""

    def __init__(self):
        super().__init__()
        self.log_var_x = nn.Parameter(torch.zeros(1))

    def loss(self, x):
        mu, logvar = self.encode(x)
        recon = self.decoder(self.reparameterize(mu, logvar))
        nll = 0.5 * (F.mse_loss(recon, x) / self.log_var_x.exp() + self.log_var_x).squeeze()
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1).mean()
        return nll + kl


class SigmaRight(Base):
    def __init__(self):
        super().__init__()
        self.log_sigma = nn.Parameter(torch.tensor(-1.0))

    def loss(self, x):
        mu, logvar = self.encode(x)
        recon = self.decoder(self.reparameterize(mu, logvar))
        log_px = Normal(recon, self.log_sigma.exp()).log_prob(x).sum(1)
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)
        return (kl - log_px).mean()


class Importance(Base):
    def log_weights(self, x, k):
        mu, logvar = self.encode(x)
        q = Normal(mu.unsqueeze(1).expand(-1, k, -1), (0.5 * logvar).exp().unsqueeze(1).expand(-1, k, -1))
        z = q.rsample()
        log_px = Bernoulli(logits=self.decoder(z)).log_prob(x.unsqueeze(1)).sum(-1)
        return log_px + Normal(0.0, 1.0).log_prob(z).sum(-1) - q.log_prob(z).sum(-1)

    def loss(self, x, k=5):
        return -(torch.logsumexp(self.log_weights(x, k), dim=1) - math.log(k)).mean()

    def loss_over_data(self, x, k=5):
        return -(torch.logsumexp(self.log_weights(x, k), dim=0) - math.log(len(x))).mean()


class Hierarchy(nn.Module):
    def __init__(self):
        super().__init__()
        self.q1 = nn.Linear(30, 8)
        self.q2 = nn.Linear(4, 6)
        self.p1 = nn.Linear(3, 8)
        self.px = nn.Linear(4, 30)

    def loss(self, x):
        m1, s1 = self.q1(x).chunk(2, 1)
        q1 = Normal(m1, s1.exp())
        z1 = q1.rsample()
        m2, s2 = self.q2(z1).chunk(2, 1)
        q2 = Normal(m2, s2.exp())
        z2 = q2.rsample()
        pm, ps = self.p1(z2).chunk(2, 1)
        kl1 = kl_divergence(q1, Normal(pm, ps.exp())).sum(1)
        kl2 = kl_divergence(q2, Normal(0.0, 1.0)).sum(1)
        log_px = Bernoulli(logits=self.px(z1)).log_prob(x).sum(1)
        return (kl1 + kl2 - log_px).mean()

    def loss_upper_forgotten(self, x):
        m1, s1 = self.q1(x).chunk(2, 1)
        q1 = Normal(m1, s1.exp())
        z1 = q1.rsample()
        m2, s2 = self.q2(z1).chunk(2, 1)
        z2 = Normal(m2, s2.exp()).rsample()
        pm, ps = self.p1(z2).chunk(2, 1)
        kl1 = kl_divergence(q1, Normal(pm, ps.exp())).sum(1)
        log_px = Bernoulli(logits=self.px(z1)).log_prob(x).sum(1)
        return (kl1 - log_px).mean()


class Reported(Base):
    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decoder(self.reparameterize(mu, logvar)), x, mu, logvar

    def loss_function(self, *results):
        recons, inputs, mu, log_var = results
        recons_loss = F.binary_cross_entropy_with_logits(recons, inputs, reduction="sum") / inputs.shape[0]
        kld_loss = torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1), dim=0)
        loss = recons_loss + kld_loss
        return {"loss": loss, "Reconstruction_Loss": recons_loss.detach(), "KLD": -kld_loss.detach()}

    def loss_detached(self, *results):
        recons, inputs, mu, log_var = results
        recons_loss = F.binary_cross_entropy_with_logits(recons, inputs, reduction="sum") / inputs.shape[0]
        kld_loss = torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1), dim=0).detach()
        loss = recons_loss + kld_loss
        return {"loss": loss, "Reconstruction_Loss": recons_loss.detach(), "KLD": -kld_loss}
