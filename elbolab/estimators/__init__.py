"""Gradient estimators: each a `pyro.infer.ELBO`, one family per file; `base.py` is their contract."""

from elbolab.estimators.antithetic import ARM, DisARM
from elbolab.estimators.base import Estimate, Estimator
from elbolab.estimators.control_variates import REBAR, RELAX, MuProp
from elbolab.estimators.copula import ARMS
from elbolab.estimators.coupled import DisARMIW, DisARMSB, DisARMTree
from elbolab.estimators.enumeration import Enumeration
from elbolab.estimators.free_bits import FreeBits
from elbolab.estimators.hierarchical import GDReG
from elbolab.estimators.measure_valued import MeasureValued
from elbolab.estimators.multisample import CIWAE, IWAE, MIWAE, PIWAE, DReG, IWAEStickingTheLanding
from elbolab.estimators.multisample_score import OVIS, OVISMonteCarlo, VIMCOStar
from elbolab.estimators.pathwise import Pathwise, PathwiseAnalyticKL, StickingTheLanding
from elbolab.estimators.per_site import PerSite
from elbolab.estimators.relaxed import Concrete, GappedStraightThrough, GumbelRao, ReinMax, STGumbel, StraightThrough
from elbolab.estimators.renyi import CUBO, VRIWAE, VRDReG
from elbolab.estimators.score import NVIL, REINFORCE, RLOO, VIMCO, MovingAverage
from elbolab.estimators.stein import RODEO, DoubleCV
from elbolab.estimators.thermodynamic import TVO
from elbolab.estimators.wake import WakePhi, WakePhiDReG

__all__ = [
    "ARMS",
    "CUBO",
    "OVIS",
    "OVISMonteCarlo",
    "TVO",
    "VIMCOStar",
    "VRDReG",
    "VRIWAE",
    "RODEO",
    "DisARMIW",
    "DisARMSB",
    "DisARMTree",
    "DoubleCV",
    "FreeBits",
    "GDReG",
    "GappedStraightThrough",
    "MeasureValued",
    "ReinMax",
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
    "PerSite",
    "STGumbel",
    "StickingTheLanding",
    "StraightThrough",
    "WakePhi",
    "WakePhiDReG",
]
