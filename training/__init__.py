"""What the loop needs: the experiment that options describe, its run folder, checkpoints, signals and figures."""

from training.checkpoint import CheckpointError, Kept
from training.exits import Interrupted, Interrupts, answered, refuse, refuse_mistakes
from training.experiment import Experiment
from training.experiment_options import ExperimentParser
from training.loggers import Logger
from training.options import Parser
from training.processes import Processes
from training.run import Run
from training.run_folder import RunFolder
from training.state import State
from training.steps import Compile, Steps

__all__ = [
    "CheckpointError",
    "Compile",
    "Experiment",
    "ExperimentParser",
    "Interrupted",
    "Interrupts",
    "Kept",
    "Logger",
    "Parser",
    "Processes",
    "Run",
    "RunFolder",
    "State",
    "Steps",
    "answered",
    "refuse",
    "refuse_mistakes",
]
