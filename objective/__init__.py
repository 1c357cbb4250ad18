"""What is maximised and how its gradient is estimated: Pyro's own ELBOs, and what can be read from the programs."""

from pyro.infer import Trace_ELBO, TraceMeanField_ELBO

from objective.densities import Densities, densities
from objective.evidence import Evidence, evidence
from objective.kl import kl_routes

ELBOS = (Trace_ELBO, TraceMeanField_ELBO)

__all__ = ["ELBOS", "Densities", "Evidence", "Trace_ELBO", "TraceMeanField_ELBO", "densities", "evidence", "kl_routes"]
