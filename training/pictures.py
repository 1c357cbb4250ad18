"""Which pictures of a run are drawn."""

import numpy as np
import torch
from torch import Tensor

from training import figures
from training.experiment import Experiment
from training.history import judged_on
from training.run_folder import RunFolder


@torch.no_grad()
def draw(lab: Experiment, means: Tensor, folder: RunFolder, history: list[dict], shown: int) -> None:
    """Writes the pictures of a run."""
    path, test = folder.path / "figures", lab.dataset.test
    shown = min(shown, len(test))

    def decoded(z: Tensor) -> np.ndarray:
        return lab.model.decode(z).mean.cpu().numpy()

    pairs = [test[:shown].cpu().numpy(), decoded(means[:shown])]
    reconstructions = figures.grid(pairs, ["test data", "mean of p(x|z)\nat the mean\nof q(z|x)"], "Reconstructions")
    figures.save(reconstructions, path / "reconstructions.png")

    samples = decoded(lab.model.prior().sample(torch.Size([5 * shown])))
    rows = samples.reshape(5, shown, *samples.shape[1:])
    figures.save(figures.grid(rows, [""] * 5, "Means of p(x|z) for z drawn from the prior"), path / "samples.png")

    steps = torch.linspace(0, 1, shown, device=means.device)[:, None]
    walks = [decoded(means[i] + steps * (means[i + 1] - means[i])) for i in range(0, min(10, len(means) - 1), 2)]
    walk = figures.grid(walks, [""] * len(walks), "Walks between the posterior means of two test data (left, right)")
    figures.save(walk, path / "walk.png")

    centred = means - means.mean(0)
    _, spread, directions = torch.linalg.svd(centred, full_matrices=False)
    codes = torch.nn.functional.pad(centred @ directions[:2].T, (0, max(0, 2 - means.shape[1])))
    kept = (spread[:2].square().sum() / spread.square().sum().clamp(min=1e-30)).item()
    figures.save(figures.latent_space(codes.cpu().numpy(), lab.dataset.test_labels, kept), path / "latent.png")
    if history:
        figures.save(figures.curves(history, judged_on(history[0])), path / "curves.png")
