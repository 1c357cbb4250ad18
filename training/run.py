"""A trained run, to be used: codes of data, draws, reconstructions, log p(x), and its networks for other programs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyro
import torch
from pyro.distributions import constraints
from torch import Tensor

from data import DataError, Other
from elbolab.graph.capture import generators_kept
from elbolab.importance_sampling import Evidence, evidence
from training.checkpoint import Kept
from training.experiment import Experiment
from training.exporting import Format, exported
from training.run_folder import RunFolder

BLOCK = 500  # data at a time
MEAN_DRAWS = 1000  # adds a thousandth of the posterior's variance to that of its mean


class Drawn(NamedTuple):
    """Draws from a model: z from p(z), shape (count, latent), the mean of p(x|z) and x from p(x|z)."""

    z: np.ndarray
    mean: np.ndarray
    x: np.ndarray


class Run:
    """The model and guide of a run's checkpoint. Arrays go in and come out; densities are in nats per datum.

    Data have the shape (count, *datum) and are looked at as the run's test set was: grey levels in [0, 1] are binarised
    where the run binarises, by draws that are the same every time.
    """

    def __init__(
        self, folder: Path | str, *, checkpoint: Kept = "last", device: str = "auto", trust_code: bool = False
    ) -> None:
        """
        Args:
            folder: the run's folder.
            checkpoint: last, the one before it (previous) or the best.
            device: auto, cpu, cuda or cuda:0.
            trust_code: let the run name classes that are not this program's.

        Raises:
            ValueError: the folder holds no run. CheckpointError: its checkpoint is missing or damaged.
        """
        self.lab = Experiment.load(RunFolder(Path(folder)), device=device, which=checkpoint, trust=trust_code)
        self.model, self.guide = self.lab.model, self.lab.guide
        self.model.eval()
        self.guide.eval()

    def read(self, path: Path | str, array: str | None = None) -> Other:
        """Data from a file of the kind that the run's data source reads, or a .npy or .npz of shape (count, *datum).

        Args:
            path: the file; for a run on Images also an image or a folder of them.
            array: which one of a .npz; left out where it has one alone.

        Raises:
            DataError: it is missing, broken or of another kind.
        """
        path = Path(path)
        if array is not None and path.suffix != ".npz":
            raise DataError(f"{path} has no array {array}: arrays have names in a .npz alone")
        return self.lab.source.read(path, array, self.lab.dataset)

    def encode(self, x: np.ndarray) -> np.ndarray:
        """E_q[z] for every datum, shape (count, latent)."""
        return self.posterior(x)[0]

    @torch.no_grad()
    def posterior(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of q(z|x) for every datum, each of shape (count, latent)."""
        seen = self._seen(x)
        with self._seeded(0):
            mean, deviation = posterior_moments(self.lab, seen)
        return self._numpy(mean), self._numpy(deviation)

    @torch.no_grad()
    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """The mean of p(x|z) at the mean of q(z|x), of x's shape; bits and codes: at the most probable code."""
        seen = self._seen(x)
        with self._seeded(0):
            blocks = posterior_centres(self.lab, seen).split(BLOCK)
        return self._numpy(torch.cat([self.model.decode(z).mean for z in blocks]))

    @torch.no_grad()
    def draw(self, count: int, *, seed: int = 0) -> Drawn:
        """Data drawn from the model, with the z that they come from; the same for the same seed."""
        if count < 1:
            raise ValueError(f"count = {count}: one at least")
        with self._seeded(seed):
            z = self.model.prior().sample(torch.Size([count]))
            means, draws = [], []
            for block in z.split(BLOCK):
                p = self.model.decode(block)
                means.append(p.mean)
                draws.append(p.sample())
        return Drawn(self._numpy(z), self._numpy(torch.cat(means)), self._numpy(torch.cat(draws)))

    def sample(self, count: int, *, mean: bool = False, seed: int = 0) -> np.ndarray:
        """Data drawn from the model, shape (count, *datum): x from p(x|z) or, with `mean`, its mean, z from p(z)."""
        drawn = self.draw(count, seed=seed)
        return drawn.mean if mean else drawn.x

    def log_evidence(self, x: np.ndarray, *, samples: int = 1000, seed: int = 0, progress: bool = False) -> Evidence:
        """log p(x) of every datum by importance sampling, in nats, with its variance and the ELBO's halves.

        In expectation a lower bound: low values are outliers, or data that the guide does not know.
        """
        if samples < 1:
            raise ValueError(f"samples = {samples}: one at least")
        seen = self._seen(x)
        with self._seeded(seed):
            return evidence(self.model, self.guide, seen, samples=samples, progress=progress)

    def export(self, folder: Path, *, format: Format = "onnx") -> list[Path]:
        """Writes encoder, x -> mean and standard deviation of q(z|x), and decoder, z -> mean of p(x|z), for any batch.

        Both are run again from the file and give what the run gives, to 1e-5 of its size.

        Args:
            folder: where encoder.onnx and decoder.onnx (or .pt2) are written.
            format: onnx, for onnxruntime and others; pt2, for `torch.export.load`.

        Raises:
            ValueError: the posterior knows no mean or no standard deviation, or the file gives something else.
        """
        x = self.lab.dataset.test[:2]
        with self._seeded(0):
            z = posterior_means(self.lab, x)
        return exported(self.lab, x, z, folder, format)

    def _seen(self, x: np.ndarray) -> Tensor:
        """Data as the model takes them.

        Raises:
            ValueError: another shape, another scale, or values that the likelihood has no mass for.
        """
        dataset, x = self.lab.dataset, np.asarray(x)
        if x.dtype.kind not in "buif" or x.shape[1:] != dataset.shape or not len(x):
            raise ValueError(
                f"data are numbers of shape (count, {', '.join(map(str, dataset.shape))}), not {x.dtype} {x.shape}"
            )
        if not np.isfinite(x).all():
            raise ValueError("the data hold values that are not finite")
        given = torch.as_tensor(x).to(dataset.test)
        self._refuse_another_scale(given)
        seen = dataset.held_out(given)
        outside = ~self.model.likelihood.support.check(seen)
        if outside.any():
            name, value = type(self.model.likelihood).__name__, seen[outside].flatten()[0].item()
            raise ValueError(f"{name} has no mass at {value:g}: the run's data lie in {self.model.likelihood.support}")
        return seen

    def _refuse_another_scale(self, x: Tensor) -> None:
        """What is between 0 and 1 stays there; of other data most lie where the run's do, and the rest are outliers."""
        low, high = (value.item() for value in self.lab.dataset.train.aminmax())
        if low >= 0 and high <= 1:
            low, high, allowed = 0, 1, 0.0
        else:
            allowed = 0.5
        if ((x < low) | (x > high)).double().mean() > allowed:
            lowest, highest = (value.item() for value in x.aminmax())
            raise ValueError(f"the data go from {lowest:g} to {highest:g}, and the run's from {low:g} to {high:g}")

    @contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        """Draws of a seed's own; the generators are left as they were."""
        with generators_kept(self.lab.device):
            pyro.set_rng_seed(seed)
            yield

    @staticmethod
    def _numpy(value: Tensor) -> np.ndarray:
        return value.cpu().numpy()


def posterior_means(lab: Experiment, x: Tensor) -> Tensor:
    """E_q[z] for every datum, shape (data, latent); from draws where the posterior does not know it."""
    return posterior_moments(lab, x)[0]


def posterior_centres(lab: Experiment, x: Tensor) -> Tensor:
    """E_q[z] for every datum, shape (data, latent); of bits and one-hot codes, the most probable code."""
    means = posterior_means(lab, x)
    if lab.model.prior.support is constraints.boolean:
        return means.round()
    if lab.model.prior.support is constraints.one_hot:
        return torch.nn.functional.one_hot(means.argmax(-1), means.shape[-1]).to(means)
    return means


@torch.no_grad()
def posterior_moments(lab: Experiment, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of q(z|x), each of shape (data, latent); from draws where q does not know them."""
    found = [_moments(lab.guide.posterior(block)) for block in x.split(100)]
    return torch.cat([mean for mean, _ in found]), torch.cat([deviation for _, deviation in found])


def _moments(q: torch.distributions.Distribution) -> tuple[Tensor, Tensor]:
    try:
        return q.mean, q.stddev
    except NotImplementedError:
        draws = q.expand((MEAN_DRAWS, *q.batch_shape)).sample()
    try:
        return q.mean, draws.std(0)
    except NotImplementedError:
        return draws.mean(0), draws.std(0)
