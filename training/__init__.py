"""What the loop needs: the experiment that options describe, its run folder, checkpoints, signals and figures."""

from training.checkpoint import CheckpointError
from training.exits import Interrupts, refuse, refuse_mistakes
from training.experiment import Experiment, ExperimentParser
from training.options import Parser
from training.run_folder import RunFolder
from training.state import State

__all__ = [
    "CheckpointError",
    "Experiment",
    "ExperimentParser",
    "Interrupts",
    "Parser",
    "RunFolder",
    "State",
    "refuse",
    "refuse_mistakes",
]
