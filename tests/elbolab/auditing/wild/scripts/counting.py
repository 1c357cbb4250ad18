import torch
import torch.nn.functional as F

step = 0
history = []


def annealed(recon, x, mu, logvar):
    global step
    step += 1
    weight = min(1.0, step / 10000)
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar))
    return bce + weight * kld


def only_logged(recon, x, mu, logvar):
    global step
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar))
    history.append((bce.item(), kld.item()))
    step += 1
    return bce + kld


class Annealer:
    def __init__(self, steps=5000):
        self.steps = steps
        self.step = 0

    def __call__(self, kl):
        self.step += 1
        return kl * min(1, self.step / self.steps)


anneal = Annealer()


def annealed_by_an_object(recon, x, mu, logvar):
    rec = F.mse_loss(recon, x, reduction="none").flatten(1).sum(1).mean()
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1).mean()
    return rec + anneal(kl)
