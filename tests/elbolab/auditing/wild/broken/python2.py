import torch

def loss(recon, x, mu, logvar):
    print "loss"
    return ((recon - x) ** 2).sum()
