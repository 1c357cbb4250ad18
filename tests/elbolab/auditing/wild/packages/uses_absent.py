import wandb
import torchvision.models as models
from omegaconf import OmegaConf
from accelerate import Accelerator
import torch
import torch.nn.functional as F
from einops import rearrange, reduce

accelerator = Accelerator()
wandb.init(project="vae")
CFG = OmegaConf.create({"beta": 1.0})
vgg = models.vgg16(pretrained=True).features.eval()


def loss(recon, x, mu, logvar):
    return F.binary_cross_entropy(recon, x, reduction="sum") - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def loss_of_pieces(recon, x, mu, logvar):
    rec = reduce(F.binary_cross_entropy(recon, x, reduction="none"), "b ... -> b", "sum").mean()
    return rec - 0.5 * torch.mean(torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), 1))


def perceptual(recon, x, mu, logvar):
    rec = F.mse_loss(vgg(recon), vgg(x))
    return rec - 0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())


def logged(recon, x, mu, logvar):
    rec = F.binary_cross_entropy(recon, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    wandb.log({"rec": rec.item(), "kld": kld.item()})
    return (rec + kld) / x.shape[0]
