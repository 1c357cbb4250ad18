import torch
from torch import nn
from torch.nn import functional as F


class VAELoss(nn.Module):
    def __init__(self, beta=1.0):
        super().__init__()
        self.bce = nn.BCEWithLogitsLoss(reduction="sum")
        self.beta = beta

    def forward(self, logits, x, mu, logvar):
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return (self.bce(logits, x) + self.beta * kld) / x.size(0)


class MeanBCE(nn.Module):
    def __init__(self):
        super().__init__()
        self.bce = nn.BCELoss()

    def forward(self, recon, x, mu, logvar):
        return self.bce(recon, x) - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


class Callable:
    def __init__(self, beta: float = 0.5):
        self.beta = beta

    def __call__(self, logits, x, mu, logvar):
        rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return rec - self.beta * 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


criterion = VAELoss()
beta_criterion = VAELoss(beta=6.0)


class Disentangled:
    """A loss with a storer, annealing steps and a tuple for the posterior."""

    def __init__(self, record_every=50, rec_dist="bernoulli", steps_anneal=0, beta=4):
        self.n_train_steps = 0
        self.record_every = record_every
        self.rec_dist = rec_dist
        self.steps_anneal = steps_anneal
        self.beta = beta

    def __call__(self, data, recon_data, latent_dist, is_train, storer, **kwargs):
        if is_train:
            self.n_train_steps += 1
        batch_size = data.size(0)
        if self.rec_dist == "bernoulli":
            rec = F.binary_cross_entropy(recon_data, data, reduction="sum")
        else:
            rec = F.mse_loss(recon_data * 255, data * 255, reduction="sum") / 255
        rec = rec / batch_size
        mean, logvar = latent_dist
        latent_kl = 0.5 * (-1 - logvar + mean.pow(2) + logvar.exp()).mean(dim=0)
        anneal = 1 if not self.steps_anneal else min(1, self.n_train_steps / self.steps_anneal)
        loss = rec + anneal * self.beta * latent_kl.sum()
        if storer is not None:
            storer["loss"].append(loss.item())
        return loss
