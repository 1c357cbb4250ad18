"""The evidence that the programs' objectives are the loss that people write by hand: `python -m compare`."""

from compare.auditing.audit import audit
from compare.auditing.verdict import Verdict
from compare.gradients.study import Result, study

__all__ = ["Result", "Verdict", "audit", "study"]
