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
from objective import evidence
from training import (
    CheckpointError,
    Experiment,
    ExperimentParser,
    Interrupts,
    RunFolder,
    State,
    catalogue,
    checkpoint,
    exits,
    refuse,
)


def train(
    folder: RunFolder,
    *,
    epochs: int = 100,
    batch_size: int = 128,
    optimizer: Callable[[Iterable], torch.optim.Optimizer] = lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
    beta_warmup: int = 0,
    clip: float = math.inf,
    resume: bool = False,
    **experiment,  # noqa: ANN003
) -> int:
    """Trains and returns the exit code.

    Args:
        folder: where the run is written.
        epochs: passes over the training data.
        batch_size: data per step; the last batch of an epoch holds what is left.
        optimizer: a class of torch.optim.
        beta_warmup: epochs over which the KL's weight rises linearly to beta.
        clip: largest norm of a step's gradient; longer ones are scaled down (counts want it).
        resume: go on from the checkpoint in the folder.
    """
    with refuse(exits.DATA, DataError), refuse(exits.CONFIGURATION, ValueError, TypeError):
        if epochs < 1 or batch_size < 1 or beta_warmup < 0 or not clip > 0:
            raise ValueError("epochs and batch_size are at least 1, beta_warmup at least 0, clip is positive")
        lab = Experiment(**experiment)
        state = State(lab.objective, optimizer(list(lab.objective.parameters())), lab.device)
    with refuse(exits.CHECKPOINT, CheckpointError):
        folder.open()
        if resume:
            state.resume(folder.path)
            folder.forget_after(state.step)
    announce(lab, folder)

    data, per_epoch = lab.dataset, math.ceil(len(lab.dataset.train) / batch_size)
    started = time.perf_counter()
    bar = tqdm(total=epochs * per_epoch, initial=state.step, unit=" steps", disable=None)
    with Interrupts() as interrupts, bar, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Encountered NaN")  # the loop says it, and stops
        pyro.enable_validation(True)  # the first step proves shapes and supports
        while state.step < epochs * per_epoch:
            epoch, position = divmod(state.step, per_epoch)
            index = order(lab.seed, epoch, len(data.train))[position * batch_size : (position + 1) * batch_size]
            x = data.batch(index.to(lab.device))
            if beta_warmup:
                lab.set_beta(lab.beta * min(1.0, (state.step + 1) / (beta_warmup * per_epoch)))

            loss = lab.objective(x) / len(x)  # nats per datum: the one place where a sum becomes a mean
            if not state.advance(loss, len(x), clip):
                return not_finite(state, folder, loss, bar)
            pyro.enable_validation(False)

            bar.update()
            if state.step % per_epoch == 0:
                row = {"epoch": epoch + 1, "step": state.step, "loss": state.mean(len(data.train))}
                row |= {"beta": lab.model.beta.item(), **test(lab), "seconds": time.perf_counter() - started}
                state.save(folder.path)
                folder.log(row)
                bar.set_postfix_str(f"loss {row['loss']:.2f}, test -ELBO {row['test_loss']:.2f} nats per datum")
            if interrupts.received:
                state.save(folder.path)
                bar.close()
                print(f"stopped at step {state.step}; go on with --out {folder.path} --resume", file=sys.stderr)
                return interrupts.exit_code
    conclude(lab, folder)
    return 0


def announce(lab: Experiment, folder: RunFolder) -> None:
    """Says what is about to be optimised."""
    print(f"data: {lab.dataset.described()}")
    for name, route in lab.kl.items():
        print(f"{name}: KL {route}")
    folder.write_environment(lab.device)


@lru_cache(maxsize=1)
def order(seed: int, epoch: int, count: int) -> Tensor:
    """The order of the data in an epoch, a function of seed and epoch, so that a resumed run needs no memory of it."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    return torch.randperm(count, generator=torch.Generator().manual_seed(mixed))


def not_finite(state: State, folder: RunFolder, loss: Tensor, bar: tqdm) -> int:
    """Saves what was good, says so, and returns the exit code."""
    state.save(folder.path)
    bar.close()
    print(
        f"error: the loss or its gradient is not finite at step {state.step} (loss {loss.item():.6g});"
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
    parser.add_function_arguments(train, skip={"folder", "resume"})
    argv = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(argv)
    folder = RunFolder(options.out or default_folder(options))
    with refuse(exits.CONFIGURATION, ValueError), refuse(exits.CHECKPOINT, CheckpointError):
        if options.resume:
            folder.settings()  # an error here names what is missing better than the parser would
            options = parser.parse_args(["--config", str(folder.path / "config.yaml"), *argv])
        options.out = folder.path
        settings = yaml.safe_load(parser.dump(options, skip_unset=False))
        folder.claim(settings, resume=options.resume, overwrite=options.overwrite)
    with refuse(exits.CONFIGURATION, ValueError, TypeError):
        built = parser.instantiate(options)
    return train(
        folder, **{name: value for name, value in built.items() if name not in ("config", "out", "overwrite", "list")}
    )


class List(argparse.Action):
    """Prints the catalogue and leaves, as --help does."""

    def __call__(self, parser, *arguments: object) -> None:  # noqa: ANN001
        print(catalogue.table())
        parser.exit()


def default_folder(options) -> Path:  # noqa: ANN001
    """runs/Digits-StandardNormal-...: what the run is about, so that two different runs do not meet."""
    names = [options[part].class_path.rsplit(".", 1)[-1] for part in ("data", "prior", "likelihood", "guide", "elbo")]
    return Path("runs") / "-".join([*names, str(options.seed)])


if __name__ == "__main__":
    sys.exit(main())
