"""What is maximised and how its gradient is estimated: Pyro's own ELBOs, and what can be read from the programs."""

from pyro.infer import Trace_ELBO, TraceMeanField_ELBO

from objective.capture import CannotCapture
from objective.densities import Densities, densities
from objective.evidence import Evidence, evidence
from objective.kl import analytic_kl, kl_routes

# Pyro's classes that do on these programs what they say, and what that is.
ELBOS = {
    Trace_ELBO: "log p(x, z) - log q(z|x) at drawn z; pathwise gradient, or score function where q has none.",
    TraceMeanField_ELBO: "log p(x|z) at drawn z - KL(q || p) in closed form where there is one; pathwise gradient.",
}

__all__ = [
    "ELBOS",
    "CannotCapture",
    "Densities",
    "Evidence",
    "Trace_ELBO",
    "TraceMeanField_ELBO",
    "analytic_kl",
    "densities",
    "evidence",
    "kl_routes",
]
