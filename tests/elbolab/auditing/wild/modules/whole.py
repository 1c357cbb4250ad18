"""Models whose loss takes the data alone: the networks are inside."""

import math

import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence
from torch.nn import functional as F


class MLPVAE(nn.Module):
    def __init__(self, x_dim=784, h_dim=64, z_dim=8):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(x_dim, h_dim), nn.ReLU(), nn.Linear(h_dim, 2 * z_dim))
        self.decoder = nn.Sequential(nn.Linear(z_dim, h_dim), nn.ReLU(), nn.Linear(h_dim, x_dim))

    def encode(self, x):
        mu, logvar = self.encoder(x).chunk(2, dim=-1)
        return mu, logvar

    def reparameterize(self, mu, logvar):
        return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decoder(self.reparameterize(mu, logvar)), mu, logvar

    def loss(self, x):
        logits, mu, logvar = self(x)
        rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        kl = 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(-1)
        return (rec + kl).mean()

    def loss_mean_pixels(self, x):
        logits, mu, logvar = self(x)
        rec = F.binary_cross_entropy_with_logits(logits, x)
        kl = 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(-1).mean()
        return rec + kl

    def loss_other_sampler(self, x):
        mu, logvar = self.encode(x)
        z = mu + logvar.exp() * torch.randn_like(mu)
        rec = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(-1)
        kl = 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(-1)
        return (rec + kl).mean()

    def loss_of_the_mean(self, x):
        # decodes the mean: nothing is drawn
        mu, logvar = self.encode(x)
        rec = F.binary_cross_entropy_with_logits(self.decoder(mu), x, reduction="none").sum(-1)
        kl = 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(-1)
        return (rec + kl).mean()

    def loss_detached_sample(self, x):
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar).detach()
        rec = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(-1)
        kl = 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(-1)
        return (rec + kl).mean()

    def iwae(self, x, k=5):
        mu, logvar = self.encode(x)
        q = Normal(mu, torch.exp(0.5 * logvar))
        z = q.rsample((k,))
        log_p = Bernoulli(logits=self.decoder(z), validate_args=False).log_prob(x).sum(-1)
        log_w = log_p + Normal(0.0, 1.0).log_prob(z).sum(-1) - q.log_prob(z).sum(-1)
        return -(torch.logsumexp(log_w, 0) - math.log(k)).mean()


class Distributions(nn.Module):
    """q and p as torch.distributions, the loss in forward."""

    def __init__(self, n_in=20, n_z=3):
        super().__init__()
        self.loc, self.raw = nn.Linear(n_in, n_z), nn.Linear(n_in, n_z)
        self.dec = nn.Linear(n_z, n_in)

    def forward(self, x):
        q = Independent(Normal(self.loc(x), F.softplus(self.raw(x)) + 1e-6), 1)
        p = Independent(Normal(torch.zeros_like(q.mean), torch.ones_like(q.mean)), 1)
        z = q.rsample()
        px = Independent(Bernoulli(logits=self.dec(z), validate_args=False), 1)
        elbo = px.log_prob(x) - kl_divergence(q, p)
        return -elbo.mean()


class Sampled(nn.Module):
    """log p(x, z) - log q(z | x) at one sample."""

    def __init__(self, n_in=20, n_z=3):
        super().__init__()
        self.enc = nn.Linear(n_in, 2 * n_z)
        self.dec = nn.Linear(n_z, n_in)

    def elbo(self, x):
        m, s = self.enc(x).chunk(2, -1)
        q = Normal(m, s.exp())
        z = q.rsample()
        log_px = -F.binary_cross_entropy_with_logits(self.dec(z), x, reduction="none").sum(-1)
        return log_px + Normal(0.0, 1.0).log_prob(z).sum(-1) - q.log_prob(z).sum(-1)

    def loss(self, x):
        return -self.elbo(x).mean()

    def loss_sign(self, x):
        return self.elbo(x).mean()


class SigmaVAE(nn.Module):
    """One learned log sigma for all pixels."""

    def __init__(self, n_in=30, n_z=4):
        super().__init__()
        self.enc = nn.Linear(n_in, 2 * n_z)
        self.dec = nn.Linear(n_z, n_in)
        self.log_sigma = nn.Parameter(torch.zeros(1))

    def loss(self, x):
        mu, logvar = self.enc(x).chunk(2, -1)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        x_hat = self.dec(z)
        nll = 0.5 * ((x - x_hat) / self.log_sigma.exp()) ** 2 + self.log_sigma + 0.5 * math.log(2 * math.pi)
        kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp())
        return nll.sum() / len(x) + kl.sum() / len(x)

    def loss_without_log_sigma(self, x):
        # sigma grows without bound: its normaliser is missing
        mu, logvar = self.enc(x).chunk(2, -1)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        nll = 0.5 * ((x - self.dec(z)) / self.log_sigma.exp()) ** 2
        kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp())
        return nll.sum() / len(x) + kl.sum() / len(x)


class Conditional(nn.Module):
    def __init__(self, x_dim=64, classes=10, z_dim=5):
        super().__init__()
        self.classes = classes
        self.enc = nn.Linear(x_dim + classes, 2 * z_dim)
        self.dec = nn.Linear(z_dim + classes, x_dim)

    def loss(self, x, y):
        c = F.one_hot(y.long(), self.classes).to(x)
        mu, logvar = self.enc(torch.cat([x, c], -1)).chunk(2, -1)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        logits = self.dec(torch.cat([z, c], -1))
        rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return (rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())) / x.shape[0]
