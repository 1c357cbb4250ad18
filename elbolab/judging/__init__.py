"""How good a guide is: on data that the model simulates, over a data set as a whole, and against annealed sampling."""

from elbolab.judging.aggregate import Surgery, surgery
from elbolab.judging.annealing import Sandwich, annealed, sandwiched
from elbolab.judging.calibrating import Calibration, calibration

__all__ = ["Calibration", "Sandwich", "Surgery", "annealed", "calibration", "sandwiched", "surgery"]
