"""The pictures that a run ends with, for whoever is told of it; evaluate.py draws those of the test set."""

import torch
from matplotlib.figure import Figure

from elbolab.graph.capture import generators_kept
from training import figures
from training.cells import cell
from training.experiment import Experiment
from training.run import posterior_means

_SHOWN = 10


@torch.no_grad()
def pictures(lab: Experiment) -> dict[str, Figure]:
    """What a run has come to: training data with their reconstructions, and draws; no generator is moved."""
    lab.objective.eval()
    with generators_kept(lab.device):
        x = lab.first_data(_SHOWN)
        again = lab.model.decode(posterior_means(lab, x)).mean
        drawn = lab.model.decode(lab.model.prior().sample(torch.Size([_SHOWN]))).mean
    lab.objective.train()
    rows = [part.cpu().float().numpy() for part in (x, again, drawn)]
    of = cell(rows[0], lab.dataset.columns)
    return {
        "reconstructions": figures.grid(rows[:2], of, "Reconstructions", labels=["training data", "mean of p(x|z)"]),
        "samples": figures.grid(rows[2:], of, "Means of p(x|z) for z drawn from the prior"),
    }
