import torch
import torch.nn as nn
import torch.nn.functional as F


class VAE(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.fc1 = nn.Linear(input_dim, hidden_dim)
        self.fc_mu = nn.Linear(hidden_dim, latent_dim)
        self.fc_logvar = nn.Linear(hidden_dim, latent_dim)

    def reparameterize(self, mu, logvar):
        if self.training:
            std = torch.exp(logvar / 2)
            eps = torch.randn_like(std)
            return mu + eps * std
        return mu

    def reparameterize_wrong(self, mu, logvar):
        std = torch.exp(logvar)  # the variance
        eps = torch.randn_like(std)
        return mu + eps * std

    def reparameterize_uniform(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.rand_like(std)
        return mu + eps * std

    def sample_latent(self, mu, logvar):
        return torch.distributions.Normal(mu, torch.exp(0.5 * logvar)).rsample()

    def loss_function(self, recon_x, x, mu, logvar):
        BCE = F.binary_cross_entropy(recon_x, x, reduction="sum")
        KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return BCE + KLD

    @staticmethod
    def static_loss(recon_x, x, mu, logvar):
        BCE = F.binary_cross_entropy(recon_x, x, reduction="sum")
        return BCE - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    @classmethod
    def class_loss(cls, recon_x, x, mu, logvar):
        return cls.static_loss(recon_x, x, mu, logvar) / x.shape[0]

    def kl(self, mu, logvar):
        return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=-1)

    def calls_another(self, recon_x, x, mu, logvar):
        rec = F.binary_cross_entropy_with_logits(recon_x, x, reduction="none").flatten(1).sum(-1)
        return torch.mean(rec + self.kl(mu, logvar))

    def with_weight_nobody_sets(self, recon_x, x, mu, logvar):
        rec = F.binary_cross_entropy(recon_x, x, reduction="sum")
        return rec + self.kl_coefficient * self.kl(mu, logvar).sum()

    def with_latent_size(self, recon_x, x, mu, logvar):
        # divides the KL by the number of latents
        rec = F.binary_cross_entropy(recon_x, x, reduction="sum")
        return rec + self.kl(mu, logvar).sum() / mu.shape[1]
