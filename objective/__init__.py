"""What is maximised and how its gradient is estimated: Pyro's own ELBOs, ours, and what is read from the programs."""

from pyro.infer import Trace_ELBO, TraceMeanField_ELBO

from objective.antithetic import ARM, DisARM
from objective.control_variates import REBAR, RELAX, MuProp
from objective.densities import Densities, densities
from objective.enumeration import Enumeration
from objective.estimator import Estimator
from objective.evidence import Evidence, evidence
from objective.kl import analytic_kl, kl_routes
from objective.multisample import CIWAE, IWAE, MIWAE, PIWAE, DReG, IWAEStickingTheLanding
from objective.pathwise import Pathwise, PathwiseAnalyticKL, StickingTheLanding
from objective.relaxed import Concrete, GumbelRao, STGumbel, StraightThrough
from objective.score import NVIL, REINFORCE, RLOO, VIMCO, MovingAverage
from objective.tracing import CannotCapture
from objective.wake import WakePhi, WakePhiDReG

# Pyro's classes that do on these programs what they say, and what that is.
ELBOS = {
    Trace_ELBO: "log p(x, z) - log q(z|x) at drawn z; pathwise gradient, or score function where q has none.",
    TraceMeanField_ELBO: "log p(x|z) at drawn z - KL(q || p) in closed form where there is one; pathwise gradient.",
}

__all__ = [
    "ARM",
    "CIWAE",
    "ELBOS",
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
    "Concrete",
    "DReG",
    "Densities",
    "DisARM",
    "Enumeration",
    "Estimator",
    "Evidence",
    "GumbelRao",
    "IWAEStickingTheLanding",
    "MovingAverage",
    "MuProp",
    "Pathwise",
    "PathwiseAnalyticKL",
    "STGumbel",
    "StickingTheLanding",
    "StraightThrough",
    "Trace_ELBO",
    "TraceMeanField_ELBO",
    "WakePhi",
    "WakePhiDReG",
    "analytic_kl",
    "densities",
    "evidence",
    "kl_routes",
]
