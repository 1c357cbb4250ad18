"""What an audited loss differs from BCE + KL by, in closed form; never more than was shown."""

import pytest
import torch
import torch.nn.functional as F

from elbolab import audit


def bce(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum")


def kl(mu, s):
    return -0.5 * torch.sum(1 + s - mu**2 - s.exp())


LOSSES = {
    "exact": (lambda logits, x, mu, logvar: bce(logits, x) + kl(mu, logvar), "a constant"),
    "probabilities": (
        lambda recon, x, mu, logvar: F.binary_cross_entropy(recon, x, reduction="sum") + kl(mu, logvar),
        "a constant",
    ),
    "mean over all pixels": (
        lambda recon, x, mu, logvar: F.binary_cross_entropy(recon, x) + kl(mu, logvar),
        "(1/28 - 1) BCE, at batch 4, data 7, latent 3",
    ),
    "both reduced": (
        lambda logits, x, mu, logvar: bce(logits, x) / len(x) + 0.3 * kl(mu, logvar) / len(x),
        "(1/4 - 1) BCE + (3/40 - 1) KL",
    ),
    "a half missing": (lambda logits, x, mu, logvar: bce(logits, x) + 2 * kl(mu, logvar), "(2 - 1) KL"),
    "log-variance charged as a log-std": (
        lambda logits, x, mu, logvar: bce(logits, x) + (0.5 * (mu**2 + (2 * logvar).exp() - 1) - logvar).sum(),
        "[-s/2 + e^(2·s)/2 - e^s/2] per latent",
    ),
    "no variance": (lambda logits, x, mu, logvar: bce(logits, x) + 0.5 * (mu**2).sum(), "per latent"),
    "weighted ones": (
        lambda logits, x, mu, logvar: (
            F.binary_cross_entropy_with_logits(logits, x, reduction="sum", pos_weight=torch.tensor(1.5))
            + kl(mu, logvar)
        ),
        "per pixel",
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_difference_in_closed_form(name):
    loss, said = LOSSES[name]
    roles = ("probs" if "recon" in loss.__code__.co_varnames else "logits", "x", "mu", "logvar")
    verdict = audit(loss, roles, algebra=True)
    assert said in verdict.residual
    assert verdict.residual in str(verdict)
    if said != "a constant":
        assert "a constant" not in verdict.residual


@pytest.mark.parametrize(
    "loss",
    [
        lambda logits, x, mu, logvar: bce(logits, x) + kl(mu, logvar).clamp(min=3.0),
        lambda logits, x, mu, logvar: bce(logits, x) * kl(mu, logvar),
        lambda logits, x, mu, logvar: bce(logits, x) + float(kl(mu, logvar)),
    ],
)
def test_what_cannot_be_read_is_not_said(loss):
    assert audit(loss, ("logits", "x", "mu", "logvar"), algebra=True).residual is None


def test_it_is_said_when_asked():
    loss, _ = LOSSES["exact"]
    assert audit(loss, ("logits", "x", "mu", "logvar")).residual is None
