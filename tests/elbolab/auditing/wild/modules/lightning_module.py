import torch
import torch.nn.functional as F
import pytorch_lightning as pl
from torch import nn
from pl_bolts.models.autoencoders.components import resnet18_encoder
from torchmetrics import MeanMetric


class LitVAE(pl.LightningModule):
    def __init__(self, input_dim=784, latent_dim=8, kl_coeff=0.1, lr=1e-3):
        super().__init__()
        self.save_hyperparameters()
        self.lr = lr
        self.kl_coeff = kl_coeff
        self.encoder = nn.Linear(input_dim, 32)
        self.fc_mu = nn.Linear(32, latent_dim)
        self.fc_var = nn.Linear(32, latent_dim)
        self.decoder = nn.Linear(latent_dim, input_dim)

    def forward(self, x):
        h = F.relu(self.encoder(x))
        mu, logvar = self.fc_mu(h), self.fc_var(h)
        z = mu + torch.randn_like(mu) * torch.exp(logvar / 2)
        return self.decoder(z), mu, logvar

    def training_step(self, batch, batch_idx):
        x, _ = batch
        x = x.view(x.size(0), -1)
        logits, mu, logvar = self(x)
        rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / x.size(0)
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / x.size(0)
        self.log("train_rec", rec)
        self.log_dict({"kl": kl, "loss": rec + kl}, prog_bar=True)
        return rec + kl

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class LitMeans(LitVAE):
    def training_step(self, batch, batch_idx):
        x, y = batch
        x = x.view(x.size(0), -1)
        logits, mu, logvar = self(x)
        rec = F.binary_cross_entropy_with_logits(logits, x)
        kl = -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())
        loss = rec + self.hparams.kl_coeff * kl
        self.log("loss", loss)
        return {"loss": loss, "rec": rec}


class LitSampled(LitVAE):
    """p, q, z; the KL at one sample, averaged over the latents; squared error averaged over the pixels."""

    def step(self, batch, batch_idx):
        x, y = batch
        h = F.relu(self.encoder(x))
        mu, log_var = self.fc_mu(h), self.fc_var(h)
        std = torch.exp(log_var / 2)
        p = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(std))
        q = torch.distributions.Normal(mu, std)
        z = q.rsample()
        rec = F.mse_loss(self.decoder(z), x, reduction="mean")
        kl = (q.log_prob(z) - p.log_prob(z)).mean() * self.kl_coeff
        loss = kl + rec
        return loss, {"recon_loss": rec, "kl": kl, "loss": loss}
