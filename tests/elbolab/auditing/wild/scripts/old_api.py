import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Variable

reconstruction_function = nn.BCELoss(size_average=False)  # older than reduction='sum'


def loss_function(recon_x, x, mu, logvar):
    BCE = reconstruction_function(recon_x, x)
    KLD_element = mu.pow(2).add_(logvar.exp()).mul_(-1).add_(1).add_(logvar)
    KLD = torch.sum(KLD_element).mul_(-0.5)
    return BCE + KLD


def loss_averaged(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x, size_average=True)
    KLD = torch.mean(-0.5 * torch.sum(1 + logvar - mu ** 2 - logvar.exp(), 1))
    return BCE + KLD


def sampling(mu, logvar):
    std = logvar.mul(0.5).exp_()
    if torch.cuda.is_available():
        eps = torch.cuda.FloatTensor(std.size()).normal_()
    else:
        eps = torch.FloatTensor(std.size()).normal_()
    return Variable(eps).mul(std).add_(mu)
