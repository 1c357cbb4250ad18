"""Trains a variational auto-encoder written as two Pyro programs: python train.py --help.

Options -> data, model, guide, objective (training/experiment.py) -> the loop below -> runs/<name>/.
"""

import argparse
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterable
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
        if epochs < 1 or batch_size < 1 or beta_warmup < 0:
            raise ValueError("epochs and batch_size are at least 1, beta_warmup at least 0")
        if not clip > 0:
            raise ValueError(f"clip = {clip}: the largest norm of a gradient is positive")
        lab = Experiment(**experiment)
        parameters = list(lab.objective.parameters())
        steps = optimizer(parameters)
    data, objective = lab.dataset, lab.objective
    count, per_epoch = len(data.train), math.ceil(len(data.train) / batch_size)
    announce(lab, folder)

    step, total = 0, torch.zeros((), dtype=torch.float64, device=lab.device)  # total: nats of this epoch so far
    if resume:
        with refuse(exits.CHECKPOINT, CheckpointError):
            state = checkpoint.load(folder.path, lab.device)
            step, total = state["step"], state["total"]
            objective.load_state_dict(state["objective"])
            steps.load_state_dict(state["optimizer"])
            checkpoint.set_generators(state["generators"])
        folder.forget_after(step)

    def save() -> None:
        state = {"step": step, "total": total, "objective": objective.state_dict(), "optimizer": steps.state_dict()}
        checkpoint.save(folder.path, state | {"generators": checkpoint.generators()})

    validated, row, started = False, {}, time.perf_counter()
    bar = tqdm(total=epochs * per_epoch, initial=step, unit=" steps", disable=None)
    with Interrupts() as interrupts, bar, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Encountered NaN")  # the loop says it, and stops
        while step < epochs * per_epoch:
            epoch, position = divmod(step, per_epoch)
            index = order(lab.seed, epoch, count)[position * batch_size : (position + 1) * batch_size]
            x = data.batch(index.to(lab.device))
            lab.set_beta(lab.beta * min(1.0, (step + 1) / (beta_warmup * per_epoch)) if beta_warmup else lab.beta)

            pyro.enable_validation(not validated)  # the first step proves shapes and supports
            loss = objective(x) / len(x)  # nats per datum: the one place where a sum becomes a mean
            validated = True
            steps.zero_grad()
            loss.backward()
            norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            if not (loss.detach() + norm).isfinite():
                save()
                bar.close()
                print(
                    f"error: the loss or its gradient is not finite at step {step} (loss {loss.item():.6g});"
                    f" {folder.path / checkpoint.FILE} holds the parameters before it",
                    file=sys.stderr,
                )
                return exits.NOT_FINITE
            if clip < math.inf:
                torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
            steps.step()

            step += 1
            total += loss.detach() * len(x)
            bar.update()
            if step % per_epoch == 0:
                row = {"epoch": epoch + 1, "step": step, "loss": total.item() / count, "beta": lab.model.beta.item()}
                row |= test(lab) | {"seconds": time.perf_counter() - started}
                total.zero_()
                save()
                folder.log(row)
                bar.set_postfix_str(f"loss {row['loss']:.2f}, test -ELBO {row['test_loss']:.2f} nats per datum")
            if interrupts.received:
                save()
                bar.close()
                print(f"stopped at step {step}; go on with --out {folder.path} --resume", file=sys.stderr)
                return interrupts.exit_code

    last = (folder.metrics() or [row])[-1]
    folder.summarize({"train": last, "kl": lab.kl})
    print(
        f"{folder.path}: epoch {last['epoch']}, test -ELBO {last['test_loss']:.2f} nats per datum"
        f" = distortion {last['test_distortion']:.2f} + rate {last['test_rate']:.2f}; python evaluate.py {folder.path}"
    )
    return 0


def announce(lab: Experiment, folder: RunFolder) -> None:
    """Says what is about to be optimised."""
    print(f"data: {lab.dataset.described()}")
    for name, route in lab.kl.items():
        print(f"{name}: KL {route}")
    folder.write_environment(lab.device)


def order(seed: int, epoch: int, count: int) -> Tensor:
    """The order of the data in an epoch, a function of seed and epoch, so that a resumed run needs no memory of it."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    return torch.randperm(count, generator=torch.Generator().manual_seed(mixed))


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
        folder.start(
            yaml.safe_load(parser.dump(options, skip_unset=False)), resume=options.resume, overwrite=options.overwrite
        )
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
