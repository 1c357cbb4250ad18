"""What a run says when it begins, stops, fails and ends; the last two with their exit codes."""

import sys
from collections.abc import Sequence

from torch import Tensor

from training import checkpoint, exits, history, judgement
from training.experiment import Experiment
from training.run_folder import RunFolder
from training.state import State
from training.steps import Steps


def announce(lab: Experiment, folder: RunFolder, step: Steps, notes: Sequence[str]) -> None:
    """Says what is about to be optimised, and how."""
    path = (folder.claimed["data"] or {}).get("init_args", {}).get("path")
    print(f"data: {lab.dataset.described()}" + (f", from {path}" if path else ""))
    for name, route in lab.kl.items():
        print(f"{name}: KL {route}")
    print(f"step: {step.described}")
    for note in [*filter(None, [lab.source.note]), *notes]:
        print(f"note: {note}", file=sys.stderr)


def stopped(code: int, folder: RunFolder, step: int) -> int:
    """After a signal."""
    print(f"stopped at step {step}; go on with --out {folder.path} --resume", file=sys.stderr)
    return code


def not_finite(state: State, lab: Experiment, index: Tensor, folder: RunFolder) -> int:
    """Saves what was good, says what was not, and returns the exit code."""
    state.save(folder.path)
    best = f"; the best so far is of epoch {state.best['epoch']} (--checkpoint best)" if state.best else ""
    print(
        f"error: the loss or its gradient is not finite at step {state.step}: {judgement.diagnosis(lab, index)}\n"
        f"{folder.path / checkpoint.FILE} holds the parameters before it{best}. A smaller --optimizer.lr or a --clip"
        " may serve",
        file=sys.stderr,
    )
    return exits.NOT_FINITE


def conclude(lab: Experiment, folder: RunFolder, state: State, *, early: bool) -> int:
    """The last line of the history, as a summary on screen and in summary.json; returns the exit code."""
    last, best = state.history[-1], state.best
    folder.summarize({"train": last, "kl": lab.kl, "best": best, "changes": state.record.get("changes", [])})
    split = history.judged_on(last)
    if early:
        waited = history.waited(state.history)
        print(f"stopped early: no better validation -ELBO for {waited} epochs")
    chosen = f" --checkpoint best (epoch {best['epoch']}, {history.score(best):.2f})" if best else ""
    print(
        f"{folder.path}: epoch {last['epoch']}, {split} -ELBO {last[f'{split}_loss']:.2f} nats per datum"
        f" = distortion {last[f'{split}_distortion']:.2f} + rate {last[f'{split}_rate']:.2f}; python evaluate.py"
        f" {folder.path}{chosen}"
    )
    if not judgement.diverged(history.score(last), state.untrained):
        return 0
    kept = f"; {checkpoint.FILES['best']} is of epoch {best['epoch']}, {history.score(best):.4g}" if best else ""
    print(
        f"error: the run diverged: {split} -ELBO {history.score(last):.4g} nats per datum, and {state.untrained:.4g}"
        f" before the first step{kept}. A smaller --optimizer.lr or a --clip may serve",
        file=sys.stderr,
    )
    return exits.NOT_FINITE
