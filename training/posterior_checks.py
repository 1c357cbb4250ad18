"""What evaluate.py says of a run's guide beyond the ELBO: calibration, where the rate goes, annealed sampling."""

from typing import Any

import torch
from torch import Tensor

from elbolab.graph.capture import generators_kept
from elbolab.judging import annealed, calibration, sandwiched, surgery
from training.experiment import Experiment

TEMPERATURES = 100  # between the guide and the posterior
NAMED = 5  # coordinates that are named on screen
LARGEST = 2000  # test data whose aggregate posterior is looked at: its cost grows with the square


def check(lab: Experiment, *, calibration_wanted: bool, chains_wanted: bool) -> None:
    """Tries what is wanted on two data, before anything that takes time.

    Raises:
        ValueError: it cannot be had of this run's model and guide.
    """
    x = lab.dataset.test[:2]
    with generators_kept(lab.device):
        if calibration_wanted:
            calibration(lab.model, lab.guide, x, simulations=2, draws=2)
            surgery(lab.model, lab.guide, x)
        if chains_wanted:
            sandwiched(lab.model, lab.guide, x, simulations=2, chains=2, temperatures=2, leaps=1)


def calibrated(lab: Experiment) -> tuple[dict[str, Any], str]:
    """Simulation-based calibration and the KL of the aggregate posterior to the prior, for the summary and the screen.

    Raises:
        ValueError: as `elbolab.judging.calibration`.
    """
    found = calibration(lab.model, lab.guide, lab.dataset.test)
    wrong, count = found.findings(), len(found.coordinates)
    parts = surgery(lab.model, lab.guide, lab.dataset.test[:LARGEST])
    summary = {
        "simulations": len(found.places),
        "coordinates": count,
        "findings": [finding._asdict() for finding in wrong],
        "rate": parts.rate,
        "information": parts.information,
        "aggregate": parts.aggregate,
        "aggregate_error": parts.error,
        "data": min(len(lab.dataset.test), LARGEST),
    }
    named = ", ".join(f"{f.coordinate} {f.wrong} ({f.score:+.1f})" for f in wrong[:NAMED])
    more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    places = f"{len({f.coordinate for f in wrong})} of {count} latents off" + (f": {named}{more}" if wrong else "")
    return summary, (
        f"calibration   on {len(found.places)} simulated data {places}\n"
        f"the rate      {parts.rate:.2f} = {parts.information:.2f} about which of {summary['data']} data"
        f" + {parts.aggregate:.2f} of the aggregate posterior to the prior (standard error {parts.error:.2f})"
    )


def annealing(lab: Experiment, sampled: Tensor) -> tuple[dict[str, Any], str]:
    """Annealed importance sampling of the first test data, and how far its bounds are apart on simulated ones.

    Args:
        lab: the run's.
        sampled: their log p(x) by importance sampling, to stand beside.

    Raises:
        ValueError: as `elbolab.judging.annealed`.
    """
    x = lab.dataset.test[: len(sampled)]
    found = annealed(lab.model, lab.guide, x, temperatures=TEMPERATURES)
    both = sandwiched(lab.model, lab.guide, x, simulations=len(x), temperatures=TEMPERATURES)
    error = found.std().item() / len(found) ** 0.5 if len(found) > 1 else torch.inf
    summary = {
        "data": len(x),
        "nll": -found.mean().item(),
        "nll_test_set_error": error,
        "nll_by_sampling": -sampled.mean().item(),
        "simulated_gap": both.gap,
        "simulated_gap_error": both.error,
    }
    return summary, (
        f"annealed      test -log p(x) {summary['nll']:.2f} nats per datum, at most, of the first {len(x)};"
        f" standard error {error:.2f} from these data;\n"
        f"              importance sampling says {summary['nll_by_sampling']:.2f} of the same data;\n"
        f"              on simulated data its two bounds are {both.gap:.3f} apart (standard error {both.error:.3f})"
    )
