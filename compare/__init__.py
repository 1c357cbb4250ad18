"""The evidence that the programs' objectives are the loss that people write by hand: `python -m compare`."""

from compare.audit import audit
from compare.verdict import Verdict

__all__ = ["Verdict", "audit"]
