"""The last lines of a loss as it would be an ELBO."""

import re

from elbolab.auditing.report.advice import advice, kl_line, reconstruction_line
from elbolab.auditing.report.verdict import Verdict


def fixed(verdict: Verdict) -> str:
    """Lines that return -ELBO, averaged over the batch, of the likelihood and the head that the loss has.

    Nothing where it is one already, or where the likelihood is not known here.
    """
    code = {"rec": reconstruction_line(verdict), "kl": kl_line(verdict)}
    code |= {line.split(" = ")[0]: line for line in advice(verdict) if re.match("(rec|kl) = (?!rec)", line)}
    if verdict.is_elbo or not code["rec"]:
        return ""
    return "\n".join((*code.values(), "return (rec + kl).mean()"))
