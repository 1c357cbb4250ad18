"""Which ELBO is this loss? probe/ calls it, identify/ recognises its gradients, report/ says what it is."""

from elbolab.auditing.audit import audit
from elbolab.auditing.report.verdict import Verdict

__all__ = ["Verdict", "audit"]
