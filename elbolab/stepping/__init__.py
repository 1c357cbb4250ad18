"""Steps of SVI as compiled graphs, compared with Pyro's own."""

from elbolab.stepping.svi import CompiledSVI

__all__ = ["CompiledSVI"]
