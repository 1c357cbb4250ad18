"""`python -m compare speed`: the contenders in turn, round after round; medians, and ratios to this project's step."""

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np
import pyro
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from compare.speed.contenders import CONTENDERS, CapturedMeanField, Contender, Workload
from compare.speed.floor import Products, seconds_for_parameters
from data import Dataset
from data.files import check_writable
from model import MLP, Convolutional
from training import figures, refuse_mistakes
from training.experiment import device_named

NETWORKS = {"784-400-20": lambda: MLP(400), "conv-20": lambda: Convolutional(400)}
LATENT, IMAGE = 20, (28, 28)
ROUND = 0.3  # seconds that a contender runs for in a round


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Milliseconds per step, median over rounds, and the ratio of this project's step to it, round by round."""

    network: str
    batch: int
    contender: str
    milliseconds: float
    ratio: float
    ratio_low: float
    ratio_high: float


def speed(
    *,
    batches: Sequence[int] = (128, 1024, 8192),
    networks: Sequence[str] = ("784-400-20",),
    binarize: Literal["dynamic", "no"] = "dynamic",
    rounds: int = 20,
    device: str = "auto",
    out: Path = Path("runs/speed"),
) -> int:
    """Times one training step beside the alternatives, interleaved in one run.

    Args:
        batches: sizes of a batch.
        networks: 784-400-20, conv-20, or both.
        binarize: whether every step draws its bits anew from grey levels, or takes bits as they are.
        rounds: how often each contender has its turn.
        device: auto, cpu, cuda or cuda:0.
        out: where speed.json, and a picture, are written.
    """
    with refuse_mistakes():
        if rounds < 3:
            raise ValueError(f"rounds = {rounds}: at least 3")
        if not batches or min(batches) < 1:
            raise ValueError(f"batches = {list(batches)}: one size of a batch or more, each at least 1")
        if not networks:
            raise ValueError(f"networks = []: one or more of {', '.join(NETWORKS)}")
        check_writable(out / "speed.json")
        if unknown := set(networks) - NETWORKS.keys():
            raise ValueError(f"there is no network {unknown.pop()}; there are: {', '.join(NETWORKS)}")
        place = device_named(device)
    for contender in CONTENDERS:
        if install := contender.missing():
            print(f"{contender.name} is left out; {install}")
    pyro.enable_validation(False)
    timings: list[Timing] = []
    for network in networks:
        for batch in batches:
            workload = Workload(NETWORKS[network](), _images(batch, binarize, place), batch, LATENT, place)
            timings += _measured(network, workload, rounds)
            print(_table(timings, network, batch), flush=True)
    out.mkdir(parents=True, exist_ok=True)
    content = {"machine": _machine(place), "binarize": binarize, "rounds": rounds}
    content["timings"] = [asdict(timing) for timing in timings]
    (out / "speed.json").write_text(json.dumps(content, indent=2) + "\n")
    figures.save(_picture(timings), out / "speed.png")
    print(f"{out / 'speed.json'}, {out / 'speed.png'}")
    return 0


def _images(batch: int, binarize: Literal["dynamic", "no"], device: torch.device) -> Dataset:
    """Random grey levels or bits of the size of MNIST's: a step takes as long whatever they are."""
    levels = torch.rand(batch, *IMAGE, generator=torch.Generator().manual_seed(0))
    x = (levels if binarize == "dynamic" else (levels < 0.3).float()).to(device)
    return Dataset(train=x, test=x, test_labels=None, binarize=binarize, dequantize=False, levels=256)


def _measured(network: str, workload: Workload, rounds: int) -> list[Timing]:
    runs: dict[str, Contender | Products] = {}
    for contender in tqdm(CONTENDERS, desc=f"{network}, batch {workload.batch}: compiling", leave=False, disable=None):
        if not contender.missing():
            runs[contender.name] = contender(workload)
    ours = runs[CapturedMeanField.name]
    runs[Products.name] = Products(ours.objective, workload.dataset.batch(workload.index))
    steps = {name: _steps_per_round(run) for name, run in runs.items()}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for number in tqdm(range(rounds), desc=f"{network}, batch {workload.batch}", leave=False, disable=None):
        for name in names[number % len(names) :] + names[: number % len(names)]:  # nobody always follows the same one
            start = time.perf_counter()
            runs[name](steps[name])
            taken[name].append((time.perf_counter() - start) / steps[name] * 1e3)
    reference = np.array(taken[CapturedMeanField.name])
    passes = seconds_for_parameters(ours.objective) * 1e3
    found = [_timing(network, workload.batch, name, np.array(values), reference) for name, values in taken.items()]
    floor = found[-1].milliseconds + passes
    label = "floor: products + Adam's bytes"
    return [*found, _timing(network, workload.batch, label, np.full(rounds, floor), reference)]


def _steps_per_round(run: Contender | Products) -> int:
    run(3)
    start = time.perf_counter()
    run(3)
    return max(2, round(ROUND / ((time.perf_counter() - start) / 3)))


def _timing(network: str, batch: int, name: str, taken: np.ndarray, reference: np.ndarray) -> Timing:
    ratios = reference / taken
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return Timing(
        network=network,
        batch=batch,
        contender=name,
        milliseconds=float(np.median(taken)),
        ratio=float(middle),
        ratio_low=float(low),
        ratio_high=float(high),
    )


def _table(timings: list[Timing], network: str, batch: int) -> str:
    lines = [f"\n{network}, batch {batch}: milliseconds per step (median), {CapturedMeanField.name} / it (quartiles)"]
    lines += [
        f"  {t.contender:<32}{t.milliseconds:>9.2f}   {t.ratio:.2f} ({t.ratio_low:.2f} to {t.ratio_high:.2f})"
        for t in timings
        if (t.network, t.batch) == (network, batch)
    ]
    return "\n".join(lines)


def _picture(timings: list[Timing]) -> Figure:
    """Bars of milliseconds per step, a panel per network and batch size."""
    settings = list(dict.fromkeys((t.network, t.batch) for t in timings))
    figure = Figure(figsize=(9, 2.6 * len(settings) + 0.4), layout="constrained")
    panels = figure.subplots(len(settings), 1, squeeze=False)[:, 0]
    for ax, (network, batch) in zip(panels, settings, strict=True):
        rows = [t for t in timings if (t.network, t.batch) == (network, batch)][::-1]
        names = [t.contender for t in rows]
        colours = [_colour(name) for name in names]
        bars = ax.barh(names, [t.milliseconds for t in rows], color=colours)
        ax.bar_label(bars, [f" {t.milliseconds:.2f}" for t in rows], fontsize=8)
        ax.margins(x=0.12)
        ax.set(title=f"{network}, batch {batch}", xlabel="milliseconds per training step (median)")
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _colour(name: str) -> tuple:
    kinds = ("elbolab", "floor", "NumPyro", "by hand", "Pyro")
    return figures.PALETTE(next(i for i, kind in enumerate(kinds) if name.startswith(kind)))


def _machine(device: torch.device) -> dict[str, str | int]:
    """The machine in words, and the versions that the numbers are of."""
    packages = {}
    for name in ("torch", "pyro-ppl", "numpyro", "jax"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "not installed"
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else f"{_processor()}, {torch.get_num_threads()} threads",
        "python": platform.python_version(),
        **packages,
        "date": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
