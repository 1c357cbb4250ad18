"""Arguments that are tuples, dictionaries, objects."""

from collections import namedtuple
from dataclasses import dataclass

import torch
import torch.nn.functional as F

Output = namedtuple("Output", ["recon", "mu", "logvar"])


@dataclass
class Config:
    beta: float = 1.0
    recon: str = "bce"


def terms(recon, x, mu, logvar):
    rec = F.binary_cross_entropy(recon, x, reduction="sum") / x.size(0)
    return rec, -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / x.size(0)


def of_a_tuple(outputs, x):
    recon_x, mu, logvar = outputs
    rec, kl = terms(recon_x, x, mu, logvar)
    return rec + kl


def of_a_tuple_wrong(outputs, x):
    recon_x, mu, logvar = outputs
    rec = F.binary_cross_entropy(recon_x, x)
    return rec + terms(recon_x, x, mu, logvar)[1]


def of_a_dictionary(out, x):
    rec, kl = terms(out["recon"], x, out["mu"], out["logvar"])
    return rec + kl


def of_a_dictionary_wrong(out, batch):
    rec, kl = terms(out["recon"], batch["x"], out["mu"], out["logvar"])
    return rec + kl * out["mu"].shape[1]


def of_an_object(out: Output, x):
    rec, kl = terms(out.recon, x, out.mu, out.logvar)
    return rec + kl


def with_a_configuration(recon, x, mu, logvar, cfg: Config):
    rec, kl = terms(recon, x, mu, logvar)
    return rec + cfg.beta * kl


def with_options(recon, x, mu, logvar, options):
    rec, kl = terms(recon, x, mu, logvar)
    return rec + options["beta"] * kl


def of_args(*args):
    recon_x, x, mu, logvar = args
    rec, kl = terms(recon_x, x, mu, logvar)
    return rec + kl


def of_args_wrong(*args):
    recon_x, x, mu, logvar = args
    rec, kl = terms(recon_x, x, mu, logvar)
    return rec - kl


def of_keywords(**kwargs):
    rec, kl = terms(kwargs["recon_x"], kwargs["x"], kwargs["mu"], kwargs["logvar"])
    return rec + kl


def of_lists(recon, x, mus, logvars):
    """One KL per level of a hierarchy."""
    rec = F.binary_cross_entropy(recon, x, reduction="sum") / x.size(0)
    kl = sum(-0.5 * torch.sum(1 + lv - m.pow(2) - lv.exp()) for m, lv in zip(mus, logvars)) / x.size(0)
    return rec + kl


def of_a_distribution(recon, x, q):
    """q is a torch.distributions.Normal."""
    p = torch.distributions.Normal(torch.zeros_like(q.loc), torch.ones_like(q.scale))
    rec = F.binary_cross_entropy(recon, x, reduction="none").flatten(1).sum(1)
    return (rec + torch.distributions.kl_divergence(q, p).sum(-1)).mean()


def of_one_encoder_output(recon, x, h):
    """The encoder's output holds both heads."""
    mu, logvar = torch.chunk(h, 2, dim=1)
    rec, kl = terms(recon, x, mu, logvar)
    return rec + kl
