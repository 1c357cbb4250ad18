"""The last lines of a loss as it would be an ELBO."""

from elbolab.auditing.report.advice import kl_line, reconstruction_line
from elbolab.auditing.report.verdict import Verdict


def fixed(verdict: Verdict) -> str:
    """Lines that return -ELBO, averaged over the batch, of the likelihood and the head that the loss has.

    Nothing where it is one already, or where the likelihood is not known here.
    """
    reconstruction = reconstruction_line(verdict)
    if verdict.is_elbo or not reconstruction:
        return ""
    return "\n".join((reconstruction, kl_line(verdict), "return (rec + kl).mean()"))
