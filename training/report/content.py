"""What the page of a run holds beside its programs: the data that it shows, the history, the checks of its numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyro.distributions import constraints
from torch import Tensor

from elbolab.validation import unvalidated
from training.experiment import Experiment
from training.history import judged_on
from training.report.programs import Exported, Parts
from training.run_folder import RunFolder

DATA, DOTS, REFERENCES, PER_LATENT = 60, 500, 3, 500  # test data to choose from; dots in the latent plane; ...
PER_UNIT = 64  # whole steps of a dot's coordinates: a dot is two pixels wide
KINDS = {
    constraints.real_vector: "real",
    constraints.boolean: "bits",
    constraints.one_hot: "category",
    constraints.unit_interval: "unit",
    constraints.simplex: "simplex",
}


def shown(lab: Experiment) -> Tensor:
    """Test data for the reader: evenly over the labels where there are any."""
    test, labels = lab.dataset.test.cpu().double(), lab.dataset.test_labels
    if labels is None:
        return torch.arange(min(DATA, len(test)))
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    turns = [group[turn] for turn in range(max(map(len, groups))) for group in groups if turn < len(group)]
    return torch.as_tensor(np.array(turns[:DATA]))


def is_image(shape: Sequence[int]) -> bool:
    return (len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))) and min(shape[-2:]) > 1


def told(
    lab: Experiment, parts: Parts, folder: RunFolder, means: Tensor, names: Sequence[str] | None
) -> dict[str, Any]:
    """Plain values: what the run is, its history, how its data look."""
    test, chosen = lab.dataset.test, shown(lab)
    labels = lab.dataset.test_labels
    shape = list(lab.dataset.shape)
    return {
        "shape": shape,
        "perUnit": PER_UNIT,
        "image": is_image(shape),
        "binary": bool(((test == 0) | (test == 1)).all()),
        "counts": bool((test >= 0).all() and (test == test.round()).all() and test.max() > 1),
        "top": max(1.0, float(test.max())),
        "low": min(0.0, float(test.min())),
        "names": list(names) if names else None,
        "latent": parts.model.prior.latent,
        "kind": KINDS.get(parts.model.prior.support, "simplex"),
        "beta": float(parts.model.beta),
        "parts": parts.names(),
        "written": parts.written,
        "labels": [str(labels[i]) for i in chosen] if labels is not None else None,
        "places": [int(i) for i in chosen],
        "dotLabels": [str(label) for label in labels[: min(DOTS, len(means))]] if labels is not None else None,
        "history": _history(folder.metrics()),
        "klPerLatent": per_latent(parts, test.cpu().double()),
    }


def put(found: Exported, lab: Experiment, means: Tensor) -> dict[str, int]:
    """Arrays that the page shows, as numbers of constants."""
    chosen = shown(lab)
    centred = means - means.mean(0)
    directions = torch.linalg.svd(centred[:5000], full_matrices=False)[2]
    arrays = {
        "data": lab.dataset.test.cpu()[chosen],
        "directions": directions,
    }
    rounded = {"dots": (means[:DOTS] * PER_UNIT).round(), "codes": means[chosen]}
    return {name: found.constants.add(array.float(), fixed=True) for name, array in (arrays | rounded).items()}


def checks(found: Exported, values: Sequence[Tensor], x: Tensor) -> list[dict[str, Any]]:
    """For every program: what Python's own arithmetic makes of the page's constants, for the page to compare."""
    made = []
    with unvalidated(), torch.no_grad():
        z = torch.zeros(1, 1)
        for seed, name in enumerate(("draw", "prior")):
            if name in found.programs:
                z = found.check(name, list(values), *([x] if name == "draw" else []), seed=seed)[1][0]
                break
        for name, program in found.programs.items():
            inputs = [{"x": x, "z": z}[part] for part in program.inputs]
            noise, outputs = found.check(name, list(values), *inputs, seed=7)
            made.append(
                {"program": name, "z": z.flatten().tolist(), "noise": noise, "sums": [_sum(o) for o in outputs]}
            )
    return made


def _sum(value: Tensor) -> float:
    """One number that changes with every entry and every exchange of two: sum_i cos(i) v_i."""
    flat = value.double().flatten()
    return (flat * torch.arange(len(flat), dtype=torch.float64).cos()).sum().item()


def references(found: Exported, parts: Parts, data: Tensor) -> list[dict[str, Any]]:
    """Pyro's own losses of a few data, in Python, from the run's own weights: nats."""
    made = []
    if "draw" not in found.programs:
        return []
    with unvalidated(), torch.no_grad():
        for datum, x in enumerate(data[:REFERENCES].split(1)):
            noise, (z, _) = found.check("draw", found.constants.values, x, seed=100 + datum)
            made.append({"datum": datum, "noise": noise, "losses": parts.losses(x, z)})
    return made


@torch.no_grad()
def per_latent(parts: Parts, x: Tensor) -> list[float] | None:
    """The test set's mean KL of every latent, where it is a sum over latents in closed form; else None."""
    try:
        with unvalidated():
            found = torch.cat([parts.kl(block) for block in x[:PER_LATENT].split(100)])
    except NotImplementedError:
        return None
    return found.mean(0).tolist() if found.dim() == 2 else None


def _history(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The columns of metrics.jsonl that are drawn, at most 200 points of them, and the split that it was judged on."""
    rows = [metrics[i] for i in np.unique(np.linspace(0, len(metrics) - 1, min(200, len(metrics))).round().astype(int))]
    split = judged_on(metrics[-1]) if metrics else "test"
    names = {name: name for name in ("epoch", "loss")} | {
        f"judged_{name}": f"{split}_{name}" for name in ("loss", "distortion", "rate")
    }
    return {"split": split} | {name: [_finite(row.get(column)) for row in rows] for name, column in names.items()}


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def column_names(settings: Mapping[str, Any], shape: Sequence[int]) -> list[str] | None:
    """The names of a bag's columns: text under `vocab` or `names` in the user's own .npz, if it is there."""
    path = ((settings.get("data") or {}).get("init_args") or {}).get("path")
    if len(shape) != 1 or not path or not Path(path).is_file() or Path(path).suffix != ".npz":
        return None
    with np.load(path, allow_pickle=False) as file:
        for key in ("vocab", "names"):
            if key in file.files:
                try:
                    found = file[key]
                except ValueError:  # pickled: not read
                    continue
                if found.shape == tuple(shape) and found.dtype.kind in "US":
                    return [str(name, "utf-8", "replace") if isinstance(name, bytes) else str(name) for name in found]
    return None
