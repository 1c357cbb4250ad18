"""Gradient estimators, compiled objectives and audits for Pyro programs and for losses of variational auto-encoders.

What is named here is what people import; each part is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elbolab.auditing import Verdict, audit
    from elbolab.estimators import (
        ARM,
        ARMS,
        CIWAE,
        CUBO,
        IWAE,
        MIWAE,
        NVIL,
        OVIS,
        PIWAE,
        REBAR,
        REINFORCE,
        RELAX,
        RLOO,
        RODEO,
        TVO,
        VIMCO,
        VRIWAE,
        Concrete,
        DisARM,
        DisARMIW,
        DisARMSB,
        DisARMTree,
        DoubleCV,
        DReG,
        Enumeration,
        Estimate,
        Estimator,
        FreeBits,
        GappedStraightThrough,
        GDReG,
        GumbelRao,
        IWAEStickingTheLanding,
        MeasureValued,
        MovingAverage,
        MuProp,
        OVISMonteCarlo,
        Pathwise,
        PathwiseAnalyticKL,
        PerSite,
        ReinMax,
        STGumbel,
        StickingTheLanding,
        StraightThrough,
        VIMCOStar,
        VRDReG,
        WakePhi,
        WakePhiDReG,
    )
    from elbolab.graph.capture import capture
    from elbolab.graph.reads import CannotCapture
    from elbolab.importance_sampling import Evidence, evidence
    from elbolab.programs.densities import Densities, densities
    from elbolab.programs.kl import analytic_kl, kl_routes
    from elbolab.programs.stopping import stop_gradient
    from elbolab.stepping import CompiledSVI
    from elbolab.studying import Result, study

# What is no estimator, and where it is.
_ELSEWHERE = {
    "CannotCapture": "elbolab.graph.reads",
    "CompiledSVI": "elbolab.stepping",
    "Densities": "elbolab.programs.densities",
    "Evidence": "elbolab.importance_sampling",
    "Result": "elbolab.studying",
    "Verdict": "elbolab.auditing",
    "analytic_kl": "elbolab.programs.kl",
    "audit": "elbolab.auditing",
    "capture": "elbolab.graph.capture",
    "densities": "elbolab.programs.densities",
    "evidence": "elbolab.importance_sampling",
    "kl_routes": "elbolab.programs.kl",
    "stop_gradient": "elbolab.programs.stopping",
    "study": "elbolab.studying",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'elbolab' has no attribute {name!r}")
    return getattr(import_module(_ELSEWHERE.get(name, "elbolab.estimators")), name)


def __dir__() -> list[str]:
    return __all__


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
    "CannotCapture",
    "CompiledSVI",
    "Concrete",
    "DReG",
    "Densities",
    "DisARM",
    "Enumeration",
    "Estimate",
    "Estimator",
    "Evidence",
    "GumbelRao",
    "IWAEStickingTheLanding",
    "MovingAverage",
    "MuProp",
    "Pathwise",
    "PathwiseAnalyticKL",
    "PerSite",
    "Result",
    "STGumbel",
    "StickingTheLanding",
    "StraightThrough",
    "Verdict",
    "WakePhi",
    "WakePhiDReG",
    "analytic_kl",
    "audit",
    "capture",
    "densities",
    "evidence",
    "kl_routes",
    "stop_gradient",
    "study",
]
