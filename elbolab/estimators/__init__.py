"""Gradient estimators: each a `pyro.infer.ELBO`, one family per file; `base.py` is their contract."""

from elbolab.estimators.antithetic import ARM, DisARM
from elbolab.estimators.base import Estimate, Estimator
from elbolab.estimators.control_variates import REBAR, RELAX, MuProp
from elbolab.estimators.enumeration import Enumeration
from elbolab.estimators.multisample import CIWAE, IWAE, MIWAE, PIWAE, DReG, IWAEStickingTheLanding
from elbolab.estimators.pathwise import Pathwise, PathwiseAnalyticKL, StickingTheLanding
from elbolab.estimators.relaxed import Concrete, GumbelRao, STGumbel, StraightThrough
from elbolab.estimators.score import NVIL, REINFORCE, RLOO, VIMCO, MovingAverage
from elbolab.estimators.wake import WakePhi, WakePhiDReG

__all__ = [
    "ARM",
    "CIWAE",
    "IWAE",
    "MIWAE",
    "NVIL",
    "PIWAE",
    "REBAR",
    "REINFORCE",
    "RELAX",
    "RLOO",
    "VIMCO",
    "Concrete",
    "DReG",
    "DisARM",
    "Enumeration",
    "Estimate",
    "Estimator",
    "GumbelRao",
    "IWAEStickingTheLanding",
    "MovingAverage",
    "MuProp",
    "Pathwise",
    "PathwiseAnalyticKL",
    "STGumbel",
    "StickingTheLanding",
    "StraightThrough",
    "WakePhi",
    "WakePhiDReG",
]
