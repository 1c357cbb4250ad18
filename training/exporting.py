"""A run's networks in files for other programs; each file is run again and has to give the same."""

from pathlib import Path
from typing import Literal

import pyro
import torch
from torch import Tensor, nn

from training.experiment import Experiment

Format = Literal["onnx", "pt2"]


def exported(lab: Experiment, x: Tensor, z: Tensor, folder: Path, format: Format) -> list[Path]:
    """Writes encoder, x -> mean and standard deviation of q(z|x), and decoder, z -> mean of p(x|z), for any batch.

    Raises:
        ValueError: the posterior knows no mean or no standard deviation, or a file gives something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _written(part, example, folder / f"{name}.{format}")
        for name, part, example in (("encoder", _Encoder(lab), x), ("decoder", _Decoder(lab), z))
    ]


class _Encoder(nn.Module):
    def __init__(self, lab: Experiment) -> None:
        super().__init__()
        self.posterior = lab.guide.posterior

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q = self.posterior(x)
        return q.mean, q.stddev


class _Decoder(nn.Module):
    def __init__(self, lab: Experiment) -> None:
        super().__init__()
        self.model = lab.model

    def forward(self, z: Tensor) -> Tensor:
        return self.model.decode(z).mean


def _written(part: nn.Module, example: Tensor, path: Path) -> Path:
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
