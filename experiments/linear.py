"""The linear VAE is probabilistic PCA: its evidence has a known maximum, and known other stationary points."""

from pathlib import Path
from typing import Any

import numpy as np
import pyro

from elbolab import evidence
from training import Experiment, RunFolder

DRAWS = 1000  # per datum; the ELBO's standard error is then a thousandth of a nat


def judge(run: Path) -> dict[str, Any]:
    """Writes `exact` into a run's summary: training ELBO and log p(x) beside the maximum that PCA has.

    Raises:
        ValueError: the folder holds no run, or its model is not linear with Gaussian noise.
    """
    folder = RunFolder(run)
    settings = folder.settings()
    if settings["hidden"] != [] or settings["likelihood"]["class_path"] != "model.likelihoods.Normal":
        raise ValueError(f"{run} is no run of linear networks (hidden: []) under likelihood Normal")
    lab = Experiment.load(folder)
    lab.objective.eval()
    pyro.set_rng_seed(0)
    found = evidence(lab.model, lab.guide, lab.dataset.train, samples=DRAWS, compile=False)
    x, latent = lab.dataset.train.flatten(1).double().cpu().numpy(), settings["latent"]
    summary = {
        "elbo": found.elbo.mean().item(),
        "log_evidence": found.log_evidence.mean().item(),
        "maximum": maximum(x, range(latent)),
        "without_the_last": maximum(x, range(latent - 1)),
        "another_for_the_last": maximum(x, [*range(latent - 1), latent]),
        "noise": lab.model.likelihood.log_scale.exp().item(),
        "noise_at_maximum": noise(eigenvalues(x), range(latent)) ** 0.5,
    }
    folder.summarize({"exact": summary})
    return summary


def eigenvalues(x: np.ndarray) -> np.ndarray:
    """Of the covariance of data of shape (count, numbers), from the largest down; the covariance divides by count."""
    return np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]


def noise(values: np.ndarray, kept: range | list[int]) -> float:
    """The variance of the noise where the latents hold some eigenvectors: the mean of the other eigenvalues."""
    return float(np.delete(values, list(kept)).mean())


def maximum(x: np.ndarray, kept: range | list[int]) -> float:
    """The mean of log p(x) at the stationary point whose latents hold these eigenvectors of the covariance.

    -1/2 [D log 2 pi + sum_kept log l_j + (D - k) log v + D], v the mean of the eigenvalues l_j that are not kept; the
    k largest give the maximum, every other choice a saddle (Tipping and Bishop, 1999; Lucas et al., 2019, Don't Blame
    the ELBO!, arXiv 1911.02469).
    """
    values = eigenvalues(x)
    own, rest = values[list(kept)], len(values) - len(kept)
    return float(
        -0.5 * (len(values) * (np.log(2 * np.pi) + 1) + np.log(own).sum() + rest * np.log(noise(values, kept)))
    )


def told(summary: dict[str, Any]) -> str:
    return (
        f"training ELBO {summary['elbo']:.3f}, log p(x) {summary['log_evidence']:.3f}, exact maximum"
        f" {summary['maximum']:.3f} nats per datum; at the next stationary points"
        f" {summary['another_for_the_last']:.3f}, {summary['without_the_last']:.3f}"
    )
