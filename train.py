"""Trains a variational auto-encoder written as two Pyro programs: python train.py --help.

Options -> data, model, guide, objective (training/experiment.py) -> the loop below -> runs/<name>/.
"""

import signal
import sys

if __name__ == "__main__":  # the imports take seconds: who stops the program meanwhile gets no traceback
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

import math
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyro
import torch
import yaml
from jsonargparse import Namespace
from torch import Tensor
from tqdm import tqdm

from data import DataError
from data.on_disk import AHEAD
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
    exits,
    history,
    judgement,
    legality,
    messages,
    refuse,
    room,
    several,
    trust,
)
from training.annealing import Annealing, chosen
from training.last_pictures import pictures
from training.loggers import Logger, Telling
from training.order import fewest, order, steps_per_epoch
from training.resuming import changes_of, compiled, go_on
from training.run_folder import environment
from training.schedule import By, Optimized, Schedule, Scheduled
from training.settings import told, with_absolute_path
from training.starting import changed, default_folder, early, parser_of

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
    annealing: Annealing | None = None,
    beta_warmup: int = 0,
    clip: float = math.inf,
    compile: Compile = "auto",
    patience: int | None = None,
    log: Callable[[Path], Logger] | None = None,
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
        annealing: how the KL's weight goes along training; always beta, if left out.
        beta_warmup: short for --annealing Linear --annealing.epochs N.
        clip: largest norm of a step's gradient; longer ones are scaled down (counts want it).
        compile: a step as one compiled graph; auto: where the run has steps enough to repay it.
        patience: epochs without a better validation -ELBO after which to stop; all epochs, if left out.
        log: who else is told of every epoch: tensorboard, csv, or a class of your own by its path.
        checkpoint: from which one --resume goes on: last, the one before it (previous) or the best.
        resume: go on from a checkpoint in the folder.
    """
    with refuse(exits.DATA, DataError), refuse(exits.CONFIGURATION, ValueError, TypeError):
        legality.check_loop(epochs=epochs, batch_size=batch_size, beta_warmup=beta_warmup, clip=clip, patience=patience)
        weight = chosen(annealing, beta_warmup)
        lab = Experiment(**experiment)
        legality.check_patience(patience, lab.dataset)
        kept = {"settings": folder.claimed, "data": lab.fingerprints, "environment": environment(lab.device)}
        moves = optimizer(list(lab.objective.parameters()))
        legality.check_optimizer(moves)
        room.check_step(lab.objective, lab.first_data, min(batch_size, len(lab.dataset.train)), lab.device)
        telling = Telling(log(folder.path) if log and processes.first else None)
        legality.check_fewest(lab.objective, lab.first_data, fewest(len(lab.dataset.train), batch_size, processes))
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
            folder.open(changes_of(state))
    if state.untrained is None and not state.step:
        state.untrained, state.unsaved = history.score(judgement.scores(lab)), True
    if state.unsaved:
        state.save(folder.path)  # from here on a run can be gone on with, and the disk takes a checkpoint
    if processes.first:
        folder.mend_metrics(state.history)
        messages.announce(lab, folder, step, notes)
        folder.write_environment(kept["environment"], state.step)

    def batch(step: int) -> Tensor:
        """Which data a step trains on, a function of the step, so that a resumed run needs no memory of it."""
        epoch, position = divmod(step, per_epoch)
        start = position * batch_size
        return order(lab.seed, epoch, len(lab.dataset.train), lab.dataset.index_device)[start : start + batch_size]

    def ended() -> bool:
        """Whether all steps are taken, or an epoch has passed and no better one was seen for too long."""
        tired = patience is not None and not state.step % per_epoch and history.waited(state.history) >= patience
        return bool(processes.largest(state.step >= total or tired))

    started = time.perf_counter() - (state.history[-1]["seconds"] if state.history else 0)
    bar = tqdm(total=total, initial=state.step, unit=" steps", disable=None if processes.first else True)
    pyro.enable_validation(False)
    with (
        interrupts.patiently(),
        bar,
        warnings.catch_warnings(),
        refuse(exits.CONFIGURATION, CannotCapture),
        refuse(exits.DATA, DataError),
    ):
        warnings.filterwarnings("ignore", message="Encountered NaN")  # the loop says it, and stops
        over = ended()
        while not over:
            position = state.step % per_epoch
            index = batch(state.step)
            lab.dataset.expect(processes.share(batch(i)) for i in range(state.step, min(state.step + AHEAD, total)))
            rates(moves, state.step)
            if weight:
                lab.set_beta(lab.beta * weight.share(state.step, per_epoch))
            if step.compiles(index) and not compiled(step, index, state, folder, interrupts):
                return messages.stopped(interrupts.exit_code, folder, state.step)
            step(index)
            bar.update()
            epoch_ends, signalled = position + 1 == per_epoch, processes.largest(interrupts.received or 0)
            looks = bool(epoch_ends or signalled or state.step % LOOK == 0)
            if not step.finite(look=looks):
                bar.close()
                return messages.not_finite(state, lab, batch(state.step), folder)

            if epoch_ends:
                row = judgement.row(lab, state, per_epoch) | {"seconds": time.perf_counter() - started}
                state.history.append(row)
                state.save(folder.path, best=state.best is row)
                over = ended()
                if processes.first:
                    folder.log(row)
                    telling(row, partial(pictures, lab) if over else None)
                bar.set_postfix_str(history.words(row))
            elif looks:
                bar.set_postfix_str(f"loss {state.so_far((position + 1) * batch_size):.2f} nats per datum")
            if signalled:
                if not epoch_ends:
                    state.save(folder.path)
                return messages.stopped(128 + signalled, folder, state.step)
    return messages.conclude(lab, folder, state, early=state.step < total) if processes.first else 0


def main(argv: list[str] | None = None) -> int:
    parser = parser_of(train)
    argv = [str(argument) for argument in (sys.argv[1:] if argv is None else argv)]
    return several.run(parser, argv, partial(one, parser))


def one(parser: ExperimentParser, argv: list[str]) -> int:
    """The run that a command line speaks of."""
    pyro.enable_validation(True)  # as a process begins: a run before this one has switched it off
    with answered() as interrupts:
        out = early(argv)
        options = None if out else parser.parse_args(argv)
        folder, processes = RunFolder(out or options.out or default_folder(options)), Processes()
        try:
            return begin(parser, options, argv, folder, processes, interrupts)
        finally:
            processes.leave()
            folder.release()


def begin(
    parser: ExperimentParser,
    options: Namespace | None,
    argv: list[str],
    folder: RunFolder,
    processes: Processes,
    interrupts: Interrupts,
) -> int:
    """Claims the folder, builds what the options name, and trains."""
    changes: dict[str, str] = {}
    with refuse(exits.CONFIGURATION, ValueError), refuse(exits.CHECKPOINT, CheckpointError):
        if options is None or options.resume:
            settings = folder.settings()  # an error here names what is missing better than the parser would
            trust.read(settings, folder.path, trust=trust.asked_for(argv))
            changes = told(changed(argv))
            changing = [f"--{name}={value}" for name, value in changes.items()]
            options = parser.parse_args(["--config", yaml.safe_dump(settings), *argv, *changing])
        elif options.seeds is not None:
            raise ValueError("seeds is no option of one run: say --seeds N on the command line")
        elif options.change:
            raise ValueError("--change is for a run that goes on: add --resume")
        elif options.checkpoint != "last":
            raise ValueError(f"--checkpoint {options.checkpoint} says where --resume goes on from; add --resume")
        options.out = folder.path
        settings = with_absolute_path(yaml.safe_load(parser.dump(options, skip_unset=False)))
        if processes.first:
            folder.claim(settings, resume=options.resume, overwrite=options.overwrite, changes=changes)
        folder.claimed = settings
    with refuse(exits.CONFIGURATION, ValueError, TypeError):
        built = parser.instantiate(options)
    own = ("config", "out", "overwrite", "list", "trust_code", "change", "seeds")
    return train(folder, processes, interrupts, **{name: value for name, value in built.items() if name not in own})


if __name__ == "__main__":
    sys.exit(main())
