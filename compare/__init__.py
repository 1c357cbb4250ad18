"""The evidence that the programs' objectives are the loss that people write by hand: `python -m compare`."""

from compare.auditing.audit import audit
from compare.auditing.verdict import Verdict

__all__ = ["Verdict", "audit"]
