"""Sequences of words: logits are (batch, time, vocabulary), tokens (batch, time), 0 is the padding."""

import torch
import torch.nn as nn
import torch.nn.functional as F

PAD = 0
VOCAB = 12


def kl(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=-1)


def mean_of_tokens(logits, tokens, mu, logvar):
    rec = F.cross_entropy(logits.view(-1, logits.size(-1)), tokens.view(-1))
    return rec + kl(mu, logvar).mean()


def sum_of_tokens(logits, tokens, mu, logvar):
    rec = F.cross_entropy(logits.reshape(-1, logits.size(-1)), tokens.reshape(-1), reduction="sum")
    return (rec + kl(mu, logvar).sum()) / tokens.size(0)


def padding_left_out(logits, tokens, mu, logvar):
    rec = F.cross_entropy(
        logits.reshape(-1, logits.size(-1)), tokens.reshape(-1), ignore_index=PAD, reduction="sum")
    return (rec + kl(mu, logvar).sum()) / tokens.size(0)


def padding_left_out_mean(logits, tokens, mu, logvar):
    # the mean is over the words that are there, the KL's over the batch
    rec = F.cross_entropy(logits.reshape(-1, logits.size(-1)), tokens.reshape(-1), ignore_index=PAD)
    return rec + kl(mu, logvar).mean()


def masked(logits, tokens, mu, logvar):
    mask = (tokens != PAD).float()
    rec = F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")
    return ((rec * mask).sum(1) + kl(mu, logvar)).mean()


def masked_mean(logits, tokens, mu, logvar):
    mask = (tokens != PAD).float()
    rec = F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")
    return (rec * mask).sum() / mask.sum() + kl(mu, logvar).mean()


def transposed_mean(logits, tokens, mu, logvar):
    rec = F.cross_entropy(logits.transpose(1, 2), tokens)
    return rec + kl(mu, logvar).mean()


def smoothed(logits, tokens, mu, logvar):
    rec = F.cross_entropy(
        logits.reshape(-1, logits.size(-1)), tokens.reshape(-1), label_smoothing=0.1, reduction="sum")
    return (rec + kl(mu, logvar).sum()) / tokens.size(0)


NLL = nn.NLLLoss(reduction="sum", ignore_index=PAD)


def anneal(name, step, k, x0):
    if name == "logistic":
        return float(1 / (1 + torch.exp(torch.tensor(-k * (step - x0)))))
    return min(1, step / x0)


def of_sentences(logp, target, length, mean, logv, anneal_function, step, k, x0):
    """logp: log-probabilities, (batch, time, vocabulary)."""
    target = target[:, : int(torch.max(length))].contiguous().view(-1)
    logp = logp[:, : int(torch.max(length))].reshape(-1, logp.size(2))
    nll = NLL(logp, target)
    kl_loss = -0.5 * torch.sum(1 + logv - mean.pow(2) - logv.exp())
    return (nll + anneal(anneal_function, step, k, x0) * kl_loss) / mean.size(0)


def of_log_probabilities(logp, target, mean, logv):
    nll = F.nll_loss(logp.reshape(-1, logp.size(-1)), target.reshape(-1), reduction="sum")
    return nll - 0.5 * torch.sum(1 + logv - mean.pow(2) - logv.exp())


def of_one_hot(x_logits, x_onehot, mu, logvar):
    """SMILES as one-hot codes, (batch, time, alphabet)."""
    rec = -(F.log_softmax(x_logits, -1) * x_onehot).sum((1, 2))
    return (rec + kl(mu, logvar)).mean()


def of_one_hot_bce(x_probs, x_onehot, mu, logvar):
    # 120 characters, the mean of the binary cross-entropies: the molecules of 2016
    rec = 120 * F.binary_cross_entropy(x_probs, x_onehot)
    return rec - 0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())
