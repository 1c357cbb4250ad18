"""Trains a variational auto-encoder written as two Pyro programs: python train.py --help.

Options -> data, model, guide, objective (training/experiment.py) -> the loop below -> runs/<name>/.
"""

import signal
import sys

if __name__ == "__main__":  # the imports take seconds: who stops the program meanwhile gets no traceback
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

import argparse
import math
import time
import warnings
from contextlib import suppress
from pathlib import Path

import pyro
import torch
import yaml
from jsonargparse import Namespace
from torch import Tensor
from tqdm import tqdm

from data import DataError
from elbolab import CannotCapture
from training import (
    CheckpointError,
    Compile,
    Experiment,
    ExperimentParser,
    Interrupts,
    Kept,
    Processes,
    RunFolder,
    State,
    Steps,
    answered,
    catalogue,
    exits,
    judgement,
    legality,
    messages,
    refuse,
    room,
    trust,
)
from training.order import order, steps_per_epoch
from training.resuming import compiled, go_on
from training.run_folder import environment
from training.schedule import By, Optimized, Schedule, Scheduled
from training.settings import with_absolute_path
from training.state import SCORE

LOOK = 100  # steps between two looks at whether all is well: a device that is not asked does not have to wait


def train(
    folder: RunFolder,
    processes: Processes,
    interrupts: Interrupts,
    *,
    epochs: int = 100,
    batch_size: int = 128,
    optimizer: Optimized = lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
    schedule: Scheduled | None = None,
    schedule_by: By = "epoch",
    beta_warmup: int = 0,
    clip: float = math.inf,
    compile: Compile = "auto",
    checkpoint: Kept = "last",
    resume: bool = False,
    **experiment,  # noqa: ANN003
) -> int:
    """Trains and returns the exit code.

    Args:
        folder: where the run is written.
        processes: who takes part.
        interrupts: the signals that came.
        epochs: passes over the training data.
        batch_size: data per step; the last batch of an epoch holds what is left.
        optimizer: a class of torch.optim.
        schedule: a class of torch.optim.lr_scheduler that goes by the step alone.
        schedule_by: after what the schedule takes its steps, and what its options count.
        beta_warmup: epochs over which the KL's weight rises linearly to beta.
        clip: largest norm of a step's gradient; longer ones are scaled down (counts want it).
        compile: a step as one compiled graph; auto: where the run has steps enough to repay it.
        checkpoint: from which one --resume goes on: last, the one before it (previous) or the best.
        resume: go on from a checkpoint in the folder.
    """
    with refuse(exits.DATA, DataError), refuse(exits.CONFIGURATION, ValueError, TypeError):
        check_loop(epochs=epochs, batch_size=batch_size, beta_warmup=beta_warmup, clip=clip)
        lab = Experiment(**experiment)
        kept = {"settings": folder.claimed, "data": lab.fingerprints, "environment": environment(lab.device)}
        moves = optimizer(list(lab.objective.parameters()))
        legality.check_optimizer(moves)
        size = min(batch_size, len(lab.dataset.train))
        room.check_step(lab.objective, lab.first_data, size, lab.device)
        state = State(lab.objective, moves, lab.device, processes, record=kept)
    processes.join(lab.device)
    per_epoch = steps_per_epoch(len(lab.dataset.train), batch_size, processes)
    total = epochs * per_epoch
    with refuse(exits.CHECKPOINT, CheckpointError):
        notes = go_on(folder, state, lab, checkpoint) if resume else []
    with refuse(exits.CONFIGURATION, ValueError):
        if state.step > total:
            raise ValueError(f"epochs = {epochs}, but the run is at epoch {state.step / per_epoch:.4g} already")
        rates = Schedule(optimizer, schedule, schedule_by, total=total, per_epoch=per_epoch)
        step = Steps(state, lab.dataset, clip, compile=compile, batch=batch_size, total=total, varying=rates.varies)
        if processes.first:
            folder.open()
    if state.untrained is None and not state.step:
        state.untrained = judgement.scores(lab)[SCORE]
        state.save(folder.path)  # from here on a run can be gone on with, and the disk takes a checkpoint
    if processes.first:
        folder.mend_metrics(state.history)
        messages.announce(lab, folder, step, notes)
        folder.write_environment(kept["environment"], state.step)

    def batch(step: int) -> Tensor:
        """Which data a step trains on, a function of the step, so that a resumed run needs no memory of it."""
        epoch, position = divmod(step, per_epoch)
        start = position * batch_size
        return order(lab.seed, epoch, len(lab.dataset.train), lab.device)[start : start + batch_size]

    started = time.perf_counter() - (state.history[-1]["seconds"] if state.history else 0)
    bar = tqdm(total=total, initial=state.step, unit=" steps", disable=None if processes.first else True)
    pyro.enable_validation(False)
    with interrupts.patiently(), bar, warnings.catch_warnings(), refuse(exits.CONFIGURATION, CannotCapture):
        warnings.filterwarnings("ignore", message="Encountered NaN")  # the loop says it, and stops
        while state.step < total:
            epoch, position = divmod(state.step, per_epoch)
            index = batch(state.step)
            rates(moves, state.step)
            if beta_warmup:
                lab.set_beta(lab.beta * min(1.0, (state.step + 1) / (beta_warmup * per_epoch)))
            if step.compiles(index) and not compiled(step, index, state, folder, interrupts):
                return messages.stopped(interrupts.exit_code, folder, state.step)
            step(index)
            bar.update()
            epoch_ends, signalled = position + 1 == per_epoch, processes.largest(interrupts.received or 0)
            if not step.finite(look=bool(epoch_ends or signalled or state.step % LOOK == 0)):
                bar.close()
                return messages.not_finite(state, lab, batch(state.step), folder)

            if epoch_ends:
                row = {"epoch": epoch + 1, "step": state.step, "loss": state.mean(len(lab.dataset.train))}
                row |= {"lr": moves.param_groups[0]["lr"], "beta": lab.model.beta.item(), **judgement.scores(lab)}
                row["seconds"] = time.perf_counter() - started
                state.history.append(row)
                state.save(folder.path, best=state.best is row)
                if processes.first:
                    folder.log(row)
                bar.set_postfix_str(f"loss {row['loss']:.2f}, test -ELBO {row[SCORE]:.2f} nats per datum")
            if signalled:
                if not epoch_ends:
                    state.save(folder.path)
                return messages.stopped(128 + signalled, folder, state.step)
    return messages.conclude(lab, folder, state) if processes.first else 0


def check_loop(*, epochs: int, batch_size: int, beta_warmup: int, clip: float) -> None:
    """Says which option of the loop is wrong."""
    for name, value, least in (("epochs", epochs, 1), ("batch_size", batch_size, 1), ("beta_warmup", beta_warmup, 0)):
        if value < least:
            raise ValueError(f"{name} = {value}: at least {least}")
    if not clip > 0:
        raise ValueError(f"clip = {clip}: the longest gradient's length is positive")


def main(argv: list[str] | None = None) -> int:
    parser = ExperimentParser(prog="train.py", description="Trains a VAE written as two Pyro programs.")
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/ and the names of its parts)")
    parser.add_argument("--overwrite", action="store_true", help="remove an earlier run from the folder first")
    parser.add_argument("--list", action=List, nargs=0, help="print all that the options below can name, and exit")
    parser.add_argument("--resume", action="store_true", help="go on from a checkpoint in the folder")
    parser.add_argument("--trust-code", action="store_true", help="let files name classes that are not this program's")
    parser.add_function_arguments(train, skip={"folder", "processes", "interrupts", "resume"})
    argv = [str(argument) for argument in (sys.argv[1:] if argv is None else argv)]
    with answered() as interrupts:
        out = early(argv)
        options = None if out else parser.parse_args(argv)
        folder, processes = RunFolder(out or options.out or default_folder(options)), Processes()
        try:
            return begin(parser, options, argv, folder, processes, interrupts)
        finally:
            processes.leave()
            folder.release()


def early(argv: list[str]) -> Path | None:
    """The folder of a run that is to go on: what the other options mean is said by its configuration."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--out", type=Path)
    first.add_argument("--resume", action="store_true")
    with suppress(argparse.ArgumentError):
        known, others = first.parse_known_args(argv)
        return known.out if known.resume and not {"--help", "-h", "--list"} & set(others) else None
    return None


def begin(
    parser: ExperimentParser,
    options: Namespace | None,
    argv: list[str],
    folder: RunFolder,
    processes: Processes,
    interrupts: Interrupts,
) -> int:
    """Claims the folder, builds what the options name, and trains."""
    with refuse(exits.CONFIGURATION, ValueError), refuse(exits.CHECKPOINT, CheckpointError):
        if options is None or options.resume:
            settings = folder.settings()  # an error here names what is missing better than the parser would
            trust.read(settings, folder.path, trust=trust.asked_for(argv))
            options = parser.parse_args(["--config", yaml.safe_dump(settings), *argv])
        elif options.checkpoint != "last":
            raise ValueError(f"--checkpoint {options.checkpoint} says where --resume goes on from; add --resume")
        options.out = folder.path
        settings = with_absolute_path(yaml.safe_load(parser.dump(options, skip_unset=False)))
        if processes.first:
            folder.claim(settings, resume=options.resume, overwrite=options.overwrite)
        folder.claimed = settings
    with refuse(exits.CONFIGURATION, ValueError, TypeError):
        built = parser.instantiate(options)
    own = ("config", "out", "overwrite", "list", "trust_code")
    return train(folder, processes, interrupts, **{name: value for name, value in built.items() if name not in own})


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
