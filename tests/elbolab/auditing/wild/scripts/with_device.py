import os

os.environ["CUDA_VISIBLE_DEVICES"] = "0"
import torch
import torch.nn.functional as F
from tqdm import tqdm

device = "cuda:0" if torch.cuda.is_available() else "cpu"
torch.backends.cudnn.benchmark = True


def loss(recon_x, x, mu, logvar):
    x = x.to(device).float()
    recon_x = recon_x.to(device)
    log2pi = torch.log(2 * torch.tensor(torch.pi, device=device))
    nll = 0.5 * ((x - recon_x) ** 2 + log2pi).sum()
    kl = 0.5 * torch.sum(mu.to(device) ** 2 + logvar.exp() - 1.0 - logvar)
    return (nll + kl) / x.shape[0]


def on_the_card(recon_x, x, mu, logvar):
    ones = torch.ones(1).cuda()
    bce = F.binary_cross_entropy(recon_x.cuda(), x.cuda(), reduction="sum")
    return bce + 0.5 * torch.sum(mu ** 2 + logvar.exp() - ones - logvar)
