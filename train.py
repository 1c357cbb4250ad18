"""Trains a variational auto-encoder written as two Pyro programs: python train.py --help.

Options -> data, model, guide, objective (training/experiment.py) -> the loop below -> runs/<name>/.
"""

import argparse
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyro
import torch
import yaml
from torch import Tensor
from tqdm import tqdm

from data import DataError
from elbolab import CannotCapture, evidence
from training import (
    CheckpointError,
    Compile,
    Experiment,
    ExperimentParser,
    Interrupts,
    Processes,
    RunFolder,
    State,
    Steps,
    catalogue,
    checkpoint,
    exits,
    refuse,
)

LOOK = 100  # steps between two looks at whether all is well: a device that is not asked does not have to wait


def train(
    folder: RunFolder,
    processes: Processes,
    *,
    epochs: int = 100,
    batch_size: int = 128,
    optimizer: Callable[[Iterable], torch.optim.Optimizer] = lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
    beta_warmup: int = 0,
    clip: float = math.inf,
    compile: Compile = "auto",
    resume: bool = False,
    **experiment,  # noqa: ANN003
) -> int:
    """Trains and returns the exit code.

    Args:
        folder: where the run is written.
        processes: who takes part.
        epochs: passes over the training data.
        batch_size: data per step; the last batch of an epoch holds what is left.
        optimizer: a class of torch.optim.
        beta_warmup: epochs over which the KL's weight rises linearly to beta.
        clip: largest norm of a step's gradient; longer ones are scaled down (counts want it).
        compile: a step as one compiled graph; auto: where the run has steps enough to repay it.
        resume: go on from the checkpoint in the folder.
    """
    with refuse(exits.DATA, DataError), refuse(exits.CONFIGURATION, ValueError, TypeError):
        if epochs < 1 or batch_size < 1 or beta_warmup < 0 or not clip > 0:
            raise ValueError("epochs and batch_size are at least 1, beta_warmup at least 0, clip is positive")
        lab = Experiment(**experiment)
        state = State(lab.objective, optimizer(list(lab.objective.parameters())), lab.device, processes)
    processes.join(lab.device)
    with refuse(exits.CHECKPOINT, CheckpointError):
        if resume:
            state.resume(folder.path)
    data, per_epoch = lab.dataset, steps_per_epoch(len(lab.dataset.train), batch_size, processes)
    with refuse(exits.CONFIGURATION, ValueError):
        step = Steps(state, lab.dataset, clip, compile=compile, batch=batch_size, total=epochs * per_epoch)
    if processes.first:
        folder.open()
        folder.forget_after(state.step)
        announce(lab, folder, step)
    started = time.perf_counter()
    bar = tqdm(total=epochs * per_epoch, initial=state.step, unit=" steps", disable=None if processes.first else True)
    pyro.enable_validation(False)
    with Interrupts() as interrupts, bar, warnings.catch_warnings(), refuse(exits.CONFIGURATION, CannotCapture):
        warnings.filterwarnings("ignore", message="Encountered NaN")  # the loop says it, and stops
        while state.step < epochs * per_epoch:
            epoch, position = divmod(state.step, per_epoch)
            start = position * batch_size
            index = order(lab.seed, epoch, len(data.train), lab.device)[start : start + batch_size]
            if beta_warmup:
                lab.set_beta(lab.beta * min(1.0, (state.step + 1) / (beta_warmup * per_epoch)))
            step(index)
            bar.update()
            epoch_ends, stopped = position + 1 == per_epoch, not processes.all(not interrupts.received)
            if not step.finite(look=epoch_ends or stopped or state.step % LOOK == 0):
                return not_finite(state, folder, bar)

            if epoch_ends:
                row = {"epoch": epoch + 1, "step": state.step, "loss": state.mean(len(data.train))}
                row |= {"beta": lab.model.beta.item(), **test(lab), "seconds": time.perf_counter() - started}
                state.save(folder.path)
                if processes.first:
                    folder.log(row)
                bar.set_postfix_str(f"loss {row['loss']:.2f}, test -ELBO {row['test_loss']:.2f} nats per datum")
            if stopped:
                state.save(folder.path)
                bar.close()
                print(f"stopped at step {state.step}; go on with --out {folder.path} --resume", file=sys.stderr)
                return interrupts.exit_code
    if processes.first:
        conclude(lab, folder)
    return 0


def announce(lab: Experiment, folder: RunFolder, step: Steps) -> None:
    """Says what is about to be optimised, and how."""
    print(f"data: {lab.dataset.described()}")
    for name, route in lab.kl.items():
        print(f"{name}: KL {route}")
    print(f"step: {step.described}")
    folder.write_environment(lab.device)


def steps_per_epoch(data: int, batch_size: int, processes: Processes) -> int:
    """All data, the last few of them in a smaller batch; fewer than there are processes are left out."""
    full, rest = divmod(data, batch_size)
    return max(1, full + (rest >= processes.world))


@lru_cache(maxsize=1)
def order(seed: int, epoch: int, count: int, device: torch.device) -> Tensor:
    """The order of the data in an epoch, a function of seed and epoch, so that a resumed run needs no memory of it."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    return torch.randperm(count, generator=torch.Generator().manual_seed(mixed)).to(device)


def not_finite(state: State, folder: RunFolder, bar: tqdm) -> int:
    """Saves what was good, says so, and returns the exit code."""
    state.save(folder.path)
    bar.close()
    print(
        f"error: the loss or its gradient is not finite at step {state.step};"
        f" {folder.path / checkpoint.FILE} holds the parameters before it",
        file=sys.stderr,
    )
    return exits.NOT_FINITE


def conclude(lab: Experiment, folder: RunFolder) -> None:
    """The last line of the history, as a summary on screen and in summary.json."""
    last = folder.metrics()[-1]
    folder.summarize({"train": last, "kl": lab.kl})
    print(
        f"{folder.path}: epoch {last['epoch']}, test -ELBO {last['test_loss']:.2f} nats per datum"
        f" = distortion {last['test_distortion']:.2f} + rate {last['test_rate']:.2f}; python evaluate.py {folder.path}"
    )


def test(lab: Experiment) -> dict[str, float]:
    """One draw per test datum, the same draws after every epoch; the training's generators are left as they were."""
    with torch.random.fork_rng(devices=[lab.device] if lab.device.type == "cuda" else []):
        pyro.set_rng_seed(lab.seed)
        found = evidence(lab.model, lab.guide, lab.dataset.test, samples=1)
    return {
        "test_loss": -found.elbo.mean().item(),
        "test_rate": found.rate.mean().item(),
        "test_distortion": found.distortion.mean().item(),
    }


def main(argv: list[str] | None = None) -> int:
    parser = ExperimentParser(prog="train.py", description="Trains a VAE written as two Pyro programs.")
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/ and the names of its parts)")
    parser.add_argument("--overwrite", action="store_true", help="remove an earlier run from the folder first")
    parser.add_argument("--list", action=List, nargs=0, help="print all that the options below can name, and exit")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the folder")
    parser.add_function_arguments(train, skip={"folder", "processes", "resume"})
    argv = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(argv)
    folder, processes = RunFolder(options.out or default_folder(options)), Processes()
    with refuse(exits.CONFIGURATION, ValueError), refuse(exits.CHECKPOINT, CheckpointError):
        if options.resume:
            folder.settings()  # an error here names what is missing better than the parser would
            options = parser.parse_args(["--config", str(folder.path / "config.yaml"), *argv])
        options.out = folder.path
        settings = yaml.safe_load(parser.dump(options, skip_unset=False))
        if processes.first:
            folder.claim(settings, resume=options.resume, overwrite=options.overwrite)
    with refuse(exits.CONFIGURATION, ValueError, TypeError):
        built = parser.instantiate(options)
    own = ("config", "out", "overwrite", "list")
    try:
        return train(folder, processes, **{name: value for name, value in built.items() if name not in own})
    finally:
        processes.leave()


class List(argparse.Action):
    """Prints the catalogue and leaves, as --help does."""

    def __call__(self, parser, *arguments: object) -> None:  # noqa: ANN001
        print(catalogue.table())
        parser.exit()


def default_folder(options) -> Path:  # noqa: ANN001
    """runs/Digits-StandardNormal-...: what the run is about, so that two different runs do not meet."""
    chosen = (options[part] for part in ("data", "prior", "likelihood", "guide", "elbo"))
    names = [part.class_path.rsplit(".", 1)[-1] for part in chosen if part]
    return Path("runs") / "-".join([*names, str(options.seed)])


if __name__ == "__main__":
    sys.exit(main())
