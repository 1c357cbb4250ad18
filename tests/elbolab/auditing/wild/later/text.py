"""Losses of sentence VAEs."""

import torch
import torch.nn.functional as F

PAD = 0
NLL = torch.nn.NLLLoss(reduction="sum", ignore_index=PAD)


def kl_to_standard(mean, logv):
    return -0.5 * torch.sum(1 + logv - mean.pow(2) - logv.exp())


def sentence(logp, target, mean, logv, kl_weight=1.0):
    batch_size = target.size(0)
    nll = NLL(logp.reshape(-1, logp.size(-1)), target.reshape(-1))
    return (nll + kl_weight * kl_to_standard(mean, logv)) / batch_size


def per_sentence(logits, target, mu, logvar):
    ce = F.cross_entropy(logits.transpose(1, 2), target, reduction="none").sum(1)
    kl = 0.5 * (mu.pow(2) + logvar.exp() - 1 - logvar).sum(1)
    return (ce + kl).mean()


def viewed_not_transposed(logits, target, mu, logvar):
    b, t, v = logits.shape
    ce = F.cross_entropy(logits.view(b, v, t), target, reduction="none").sum(1)
    kl = 0.5 * (mu.pow(2) + logvar.exp() - 1 - logvar).sum(1)
    return (ce + kl).mean()


def padding_averaged(logits, target, mu, logvar):
    mask = (target != PAD).float()
    ce = F.cross_entropy(logits.transpose(1, 2), target, reduction="none")
    kl = 0.5 * (mu.pow(2) + logvar.exp() - 1 - logvar).sum(1)
    return (ce * mask).mean() + kl.mean()


def per_token(logits, target, mu, logvar):
    mask = (target != PAD).float()
    ce = F.cross_entropy(logits.transpose(1, 2), target, reduction="none")
    rec = (ce * mask).sum() / mask.sum()
    kl = 0.5 * (mu.pow(2) + logvar.exp() - 1 - logvar).sum(1)
    return rec + kl.mean()


def softmax_before(logits, target, mu, logvar):
    probabilities = F.softmax(logits, dim=-1)
    ce = F.cross_entropy(probabilities.transpose(1, 2), target, reduction="none").sum(1)
    kl = 0.5 * (mu.pow(2) + logvar.exp() - 1 - logvar).sum(1)
    return (ce + kl).mean()


def one_hot(logits, x, mu, logvar):
    log_p = torch.log_softmax(logits, dim=-1)
    rec = -(x * log_p).sum(dim=(1, 2))
    kl = -0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar), dim=1)
    return torch.mean(rec + kl)


def one_hot_over_time(logits, x, mu, logvar):
    log_p = torch.log_softmax(logits, dim=1)
    rec = -(x * log_p).sum(dim=(1, 2))
    kl = -0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar), dim=1)
    return torch.mean(rec + kl)


def one_hot_mean_of_steps(logits, x, mu, logvar):
    log_p = torch.log_softmax(logits, dim=-1)
    rec = -(x * log_p).sum(dim=-1).mean(dim=1)
    kl = -0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar), dim=1)
    return torch.mean(rec + kl)


def codes(logits, target, code_logits):
    k = code_logits.size(-1)
    ce = F.cross_entropy(logits.transpose(1, 2), target, reduction="none").sum(1)
    log_q = F.log_softmax(code_logits, dim=-1)
    kl = (log_q.exp() * (log_q + torch.log(torch.tensor(float(k))))).flatten(1).sum(1)
    return (ce + kl).mean()
