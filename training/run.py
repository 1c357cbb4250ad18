"""A trained run, to be used: codes of data, draws, reconstructions, log p(x), and its networks for other programs."""

from pathlib import Path
from typing import Literal

import numpy as np
import pyro
import torch
from torch import Tensor, nn

from elbolab.graph.capture import generators_kept
from elbolab.importance_sampling import Evidence, evidence
from training.experiment import Experiment
from training.run_folder import RunFolder

BLOCK = 500  # data at a time
MEAN_DRAWS = 1000  # adds a thousandth of the posterior's variance to that of its mean


class Run:
    """The model and guide of a run's checkpoint. Arrays go in and come out; densities are in nats per datum.

    Data have the shape (count, *datum) and are looked at as the run's test set was: grey levels in [0, 1] are binarised
    where the run binarises, by draws that are the same every time.
    """

    def __init__(self, folder: Path | str, *, device: str = "auto") -> None:
        """
        Args:
            folder: the run's folder.
            device: auto, cpu, cuda or cuda:0.

        Raises:
            ValueError: the folder holds no run. CheckpointError: its checkpoint is missing or damaged.
        """
        self.lab = Experiment.load(RunFolder(Path(folder)), device=device)
        self.model, self.guide = self.lab.model, self.lab.guide
        self.model.eval()
        self.guide.eval()

    @torch.no_grad()
    def encode(self, x: np.ndarray) -> np.ndarray:
        """E_q[z] for every datum, shape (count, latent)."""
        return self._numpy(posterior_means(self.lab, self._seen(x)))

    @torch.no_grad()
    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """The mean of p(x|z) at the mean of q(z|x), of x's shape."""
        blocks = posterior_means(self.lab, self._seen(x)).split(BLOCK)
        return self._numpy(torch.cat([self.model.decode(z).mean for z in blocks]))

    @torch.no_grad()
    def sample(self, count: int, *, mean: bool = False, seed: int = 0) -> np.ndarray:
        """Data drawn from the model, shape (count, *datum): x from p(x|z) or, with `mean`, its mean, z from p(z)."""
        if count < 1:
            raise ValueError(f"count = {count}: one at least")
        with generators_kept(self.lab.device):
            pyro.set_rng_seed(seed)
            found = []
            for z in self.model.prior().sample(torch.Size([count])).split(BLOCK):
                p = self.model.decode(z)
                found.append(p.mean if mean else p.sample())
        return self._numpy(torch.cat(found))

    def log_evidence(self, x: np.ndarray, *, samples: int = 1000, seed: int = 0) -> Evidence:
        """log p(x) of every datum by importance sampling, in nats, with its variance and the ELBO's halves.

        In expectation a lower bound: low values are outliers, or data that the guide does not know.
        """
        if samples < 1:
            raise ValueError(f"samples = {samples}: one at least")
        with generators_kept(self.lab.device):
            pyro.set_rng_seed(seed)
            return evidence(self.model, self.guide, self._seen(x), samples=samples)

    def export(self, folder: Path, *, format: Literal["onnx", "pt2"] = "onnx") -> list[Path]:
        """Writes encoder, x -> mean and standard deviation of q(z|x), and decoder, z -> mean of p(x|z), for any batch.

        Both are run again from the file and give what the run gives, to 1e-5 of its size.

        Args:
            folder: where encoder.onnx and decoder.onnx (or .pt2) are written.
            format: onnx, for onnxruntime and others; pt2, for `torch.export.load`.

        Raises:
            ValueError: the posterior knows no mean or no standard deviation, or the file gives something else.
        """
        folder.mkdir(parents=True, exist_ok=True)
        x = self.lab.dataset.test[:2]
        z = posterior_means(self.lab, x)
        return [
            _exported(part, example, folder / f"{name}.{format}")
            for name, part, example in (("encoder", _Encoder(self), x), ("decoder", _Decoder(self), z))
        ]

    def _seen(self, x: np.ndarray) -> Tensor:
        """Data as the model takes them.

        Raises:
            ValueError: another shape, or values that the likelihood has no mass for.
        """
        shape, x = self.lab.dataset.shape, np.asarray(x)
        if x.dtype.kind not in "buif" or x.shape[1:] != shape or not len(x):
            raise ValueError(
                f"data are numbers of shape (count, {', '.join(map(str, shape))}), not {x.dtype} {x.shape}"
            )
        if not np.isfinite(x).all():
            raise ValueError("the data hold values that are not finite")
        like = self.lab.dataset.test
        seen = self.lab.dataset.held_out(torch.as_tensor(x).to(like))
        outside = ~self.model.likelihood.support.check(seen)
        if outside.any():
            name, value = type(self.model.likelihood).__name__, seen[outside].flatten()[0].item()
            raise ValueError(f"{name} has no mass at {value:g}: the run's data lie in {self.model.likelihood.support}")
        return seen

    @staticmethod
    def _numpy(value: Tensor) -> np.ndarray:
        return value.cpu().numpy()


@torch.no_grad()
def posterior_means(lab: Experiment, x: Tensor) -> Tensor:
    """E_q[z] for every datum, shape (data, latent); from draws where the posterior does not know it."""
    means = []
    for block in x.split(100):
        q = lab.guide.posterior(block)
        try:
            means.append(q.mean)
        except NotImplementedError:
            means.append(q.expand((MEAN_DRAWS, *q.batch_shape)).sample().mean(0))
    return torch.cat(means)


class _Encoder(nn.Module):
    def __init__(self, run: Run) -> None:
        super().__init__()
        self.posterior = run.guide.posterior

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q = self.posterior(x)
        return q.mean, q.stddev


class _Decoder(nn.Module):
    def __init__(self, run: Run) -> None:
        super().__init__()
        self.model = run.model

    def forward(self, z: Tensor) -> Tensor:
        return self.model.decode(z).mean


def _exported(part: nn.Module, example: Tensor, path: Path) -> Path:
    with pyro.validation_enabled(False), torch.no_grad():
        try:
            expected = part(example)
        except NotImplementedError as error:
            raise ValueError(
                f"{path.stem}: its distribution has no mean or standard deviation in closed form"
            ) from error
        dynamic = ({0: torch.export.Dim("batch", min=1)},)
        program = torch.export.export(part, (example,), dynamic_shapes=dynamic, strict=False)
        if path.suffix == ".pt2":
            torch.export.save(program, path)
            found = torch.export.load(path).module()(example)
        else:
            found = _through_onnx(program, example, path)
    pairs = zip(_tensors(found), _tensors(expected), strict=True)
    apart = max((one - other).abs().max().item() / max(1.0, other.abs().max().item()) for one, other in pairs)
    if not apart <= 1e-5:
        raise ValueError(f"{path} gives something else: apart by {apart:.2g} of the largest number")
    return path


def _through_onnx(program: torch.export.ExportedProgram, example: Tensor, path: Path) -> list[Tensor]:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401, what torch.onnx writes with
    except ImportError as error:
        raise ValueError(f"{path.suffix} takes {error.name}: pip install 'elbolab[export]'") from error
    torch.onnx.export(program, (example,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return [torch.as_tensor(v) for v in session.run(None, {session.get_inputs()[0].name: example.cpu().numpy()})]


def _tensors(value: object) -> list[Tensor]:
    return [value.cpu()] if isinstance(value, Tensor) else [v.cpu() for v in value]  # type: ignore[attr-defined]
