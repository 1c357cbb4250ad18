"""How a run goes on, and what is saved so that it can."""

from torch import Tensor

from training import checkpoint, record, settings
from training.checkpoint import Kept
from training.exits import Interrupted, Interrupts
from training.experiment import Experiment
from training.run_folder import RunFolder
from training.state import State
from training.steps import Steps


def go_on(folder: RunFolder, state: State, lab: Experiment, which: Kept) -> list[str]:
    """Goes on from a checkpoint of the folder, with the options that changed; returns what is to be said about it."""
    if not checkpoint.written(folder.path) and not folder.metrics():
        return ["no checkpoint was written yet: the run begins"]
    saved = checkpoint.load(folder.path, lab.device, which)
    before = saved.get("record", {})
    record.check(before, folder, lab.fingerprints)
    state.check(saved, folder.path / checkpoint.FILES[which])
    state.restore(saved)
    if "history" not in saved:  # of an earlier version
        state.history = [row for row in folder.metrics() if row["step"] <= state.step]
    best = state.best is not None and state.step == state.best["step"]
    if best and which == "last" and state.processes.first:
        checkpoint.keep_as_best(folder.path)
    changed = record.changes(before, state.record["environment"])
    notes = [f"changed since the checkpoint: {'; '.join(changed)}"] if changed else []
    options = settings.differences(before.get("settings") or folder.settings(), state.record["settings"])
    state.change(options)
    state.record["changes"] = [
        *before.get("changes", []),
        *({"step": state.step, "option": name, "before": old, "now": new} for name, (old, new) in options.items()),
    ]
    return notes + [f"{settings.words(options)} from step {state.step} on"] if options else notes


def changes_of(state: State) -> list[str]:
    """Which options of the run were others before some step, one line each."""
    return [
        f"{change['option']} was {change['before']} up to step {change['step']}, {change['now']} after it"
        for change in state.record.get("changes", [])
    ]


def compiled(step: Steps, index: Tensor, state: State, folder: RunFolder, interrupts: Interrupts) -> bool:
    """Compiles; False, where a signal came meanwhile. What there was is saved before: it may take a minute."""
    state.save(folder.path)
    try:
        with interrupts.at_once():
            step.compile(index)
    except Interrupted:
        return False
    return True
