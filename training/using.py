"""What a trained run is used for from a shell: arrays from a file, arrays to a file."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from data import Other
from data.files import check_writable, replacing
from training.checkpoint import Kept
from training.exporting import Format
from training.run import Run
from training.run_folder import USES

_ENDINGS = (".npz", ".npy")


def encode(
    run: Path,
    file: Path,
    *,
    array: str | None = None,
    out: Path | None = None,
    checkpoint: Kept = "last",
    device: str = "auto",
    trust_code: bool = False,
) -> int:
    """Writes the codes of data, mean and standard deviation of q(z|x).

    Arrays: `codes` and `deviations`, both of shape (count, latent); `names`, of images their files. A .npy holds the
    codes alone.

    Args:
        run: the run's folder.
        file: data as the run's own: .npy or .npz, a folder of images, a table.
        array: which array of a .npz, where it has several.
        out: the file to write, .npz or .npy; codes.npz in the run's folder if left out.
        checkpoint: which one is used: last, the one before it (previous) or the best.
        device: auto, cpu, cuda or cuda:0.
        trust_code: let the run name classes that are not this program's.
    """
    out = _out(run, "encode", out)
    trained = Run(run, checkpoint=checkpoint, device=device, trust_code=trust_code)
    data = _read(trained, file, array)
    codes, deviations = trained.posterior(data.x)
    return _write(out, {"codes": codes, "deviations": deviations}, data.names)


def sample(
    run: Path,
    count: int,
    *,
    seed: int = 0,
    out: Path | None = None,
    checkpoint: Kept = "last",
    device: str = "auto",
    trust_code: bool = False,
) -> int:
    """Writes data drawn from the model.

    Arrays: `samples`, x from p(x|z), and `means`, those of p(x|z), both of shape (count, *datum); `codes`, z from p(z),
    of shape (count, latent). A .npy holds the samples alone.

    Args:
        run: the run's folder.
        count: how many.
        seed: of the draws.
        out: the file to write, .npz or .npy; samples.npz in the run's folder if left out.
        checkpoint: which one is used: last, the one before it (previous) or the best.
        device: auto, cpu, cuda or cuda:0.
        trust_code: let the run name classes that are not this program's.
    """
    out = _out(run, "sample", out)
    drawn = Run(run, checkpoint=checkpoint, device=device, trust_code=trust_code).draw(count, seed=seed)
    return _write(out, {"samples": drawn.x, "means": drawn.mean, "codes": drawn.z})


def reconstruct(
    run: Path,
    file: Path,
    *,
    array: str | None = None,
    out: Path | None = None,
    checkpoint: Kept = "last",
    device: str = "auto",
    trust_code: bool = False,
) -> int:
    """Writes the mean of p(x|z) at the mean of q(z|x) for every datum.

    Of bits and one-hot codes, at the most probable code. Arrays: `reconstructions`, of the data's shape; `names`, of
    images their files.

    Args:
        run: the run's folder.
        file: data as the run's own: .npy or .npz, a folder of images, a table.
        array: which array of a .npz, where it has several.
        out: the file to write, .npz or .npy; reconstructions.npz in the run's folder if left out.
        checkpoint: which one is used: last, the one before it (previous) or the best.
        device: auto, cpu, cuda or cuda:0.
        trust_code: let the run name classes that are not this program's.
    """
    out = _out(run, "reconstruct", out)
    trained = Run(run, checkpoint=checkpoint, device=device, trust_code=trust_code)
    data = _read(trained, file, array)
    return _write(out, {"reconstructions": trained.reconstruct(data.x)}, data.names)


def score(
    run: Path,
    file: Path,
    *,
    array: str | None = None,
    samples: int = 1000,
    seed: int = 0,
    out: Path | None = None,
    checkpoint: Kept = "last",
    device: str = "auto",
    trust_code: bool = False,
) -> int:
    """Writes -log p(x) of every datum in nats, by importance sampling: high values are outliers.

    Arrays of shape (count,): `nll`, in expectation an upper bound of -log p(x), and `errors`, its standard error from
    sampling; `rate` and `distortion`, whose sum is -ELBO; `names`, of images their files. A .npy holds nll alone.

    Args:
        run: the run's folder.
        file: data as the run's own: .npy or .npz, a folder of images, a table.
        array: which array of a .npz, where it has several.
        samples: draws of z per datum.
        seed: of the draws.
        out: the file to write, .npz or .npy; scores.npz in the run's folder if left out.
        checkpoint: which one is used: last, the one before it (previous) or the best.
        device: auto, cpu, cuda or cuda:0.
        trust_code: let the run name classes that are not this program's.
    """
    out = _out(run, "score", out)
    trained = Run(run, checkpoint=checkpoint, device=device, trust_code=trust_code)
    data = _read(trained, file, array)
    found = trained.log_evidence(data.x, samples=samples, seed=seed, progress=True)
    nll = -found.log_evidence.cpu().numpy()
    halves = {"rate": found.rate.cpu().numpy(), "distortion": found.distortion.cpu().numpy()}
    _write(out, {"nll": nll, "errors": found.variance.sqrt().cpu().numpy(), **halves}, data.names)
    worst = int(nll.argmax())
    name = f"number {worst}" if data.names is None else data.names[worst]
    print(f"-log p(x): {nll.mean():.2f} nats per datum in the mean; the highest is {nll[worst]:.2f}, of {name}")
    return 0


def export(
    run: Path,
    folder: Path,
    *,
    format: Format = "onnx",
    checkpoint: Kept = "last",
    device: str = "auto",
    trust_code: bool = False,
) -> int:
    """Writes encoder and decoder for other programs, as ONNX or for torch.export.

    The encoder is x -> mean and standard deviation of q(z|x), the decoder z -> mean of p(x|z), for any batch. Each file
    is run again and gives what the run gives, to 1e-5.

    Args:
        run: the run's folder.
        folder: where encoder.onnx and decoder.onnx (or .pt2) are written.
        format: onnx, for onnxruntime and others; pt2, for torch.export.load.
        checkpoint: which one is used: last, the one before it (previous) or the best.
        device: auto, cpu, cuda or cuda:0.
        trust_code: let the run name classes that are not this program's.
    """
    check_writable(folder)
    written = Run(run, checkpoint=checkpoint, device=device, trust_code=trust_code).export(folder, format=format)
    print(f"{', '.join(map(str, written))}: checked against the run")
    return 0


COMMANDS: dict[str, Callable[..., int]] = {
    function.__name__: function for function in (encode, sample, reconstruct, score, export)
}


def _out(run: Path, command: str, out: Path | None) -> Path:
    """Where to write, known to be writable before anything is computed."""
    out = out or run / USES[command]
    if out.suffix not in _ENDINGS:
        raise ValueError(f"out = {out}: arrays are written to .npz or .npy")
    check_writable(out)
    return out


def _read(trained: Run, file: Path, array: str | None) -> Other:
    data = trained.read(file, array)
    if data.note:
        print(f"note: {data.note}", file=sys.stderr)
    return data


def _write(path: Path, arrays: Mapping[str, np.ndarray], names: tuple[str, ...] | None = None) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = dict(arrays) if path.suffix == ".npz" else dict(list(arrays.items())[:1])
    told = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    with replacing(path) as file:
        if path.suffix == ".npy":
            np.save(file, *arrays.values(), allow_pickle=False)
        else:
            np.savez(file, **arrays, **({} if names is None else {"names": np.array(names)}))
    print(f"{path}: {told}")
    return 0
