"""Judges a trained run: python evaluate.py runs/NAME.

Test ELBO = -(distortion + rate), -log p(x) by importance sampling, active units; figures. On screen, in summary.json.
"""

import signal
import sys

if __name__ == "__main__":  # the imports take seconds: who stops the program meanwhile gets no traceback
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

from pathlib import Path

import numpy as np
import pyro
import torch
from torch import Tensor

from elbolab import Evidence, evidence
from elbolab.report.page import LIMIT
from training import Experiment, Kept, Parser, RunFolder, answered, figures, refuse_mistakes
from training.run import posterior_means

ACTIVE = 0.01  # variance over data of a unit's posterior mean (Burda et al., 2016, Importance Weighted Autoencoders)


def evaluate(
    run: Path,
    *,
    checkpoint: Kept = "last",
    samples: int = 5000,
    device: str = "auto",
    memory: int = 32,
    seed: int = 0,
    shown: int = 10,
    report: bool = False,
    report_megabytes: float = LIMIT / 1e6,
    trust_code: bool = False,
) -> int:
    """Evaluates a run and returns the exit code.

    Args:
        run: the run's folder.
        checkpoint: which one is judged: last, the one before it (previous) or the best.
        samples: draws of z per test datum.
        device: auto, cpu, cuda or cuda:0.
        memory: about how many MiB the draws may take at a time.
        seed: of the draws.
        shown: how many data the figures show.
        report: also write report.html, one file with the run's model computing in it.
        report_megabytes: what that file may take; what does not fit is left out, and named.
        trust_code: let the run name classes that are not this program's.
    """
    folder = RunFolder(run)
    with refuse_mistakes():
        for name, value, least in (("samples", samples, 1), ("memory", memory, 1), ("shown", shown, 2)):
            if value < least:
                raise ValueError(f"{name} = {value}: at least {least}")
        if not report_megabytes >= 0.2:
            raise ValueError(f"report_megabytes = {report_megabytes}: at least 0.2")
        lab = Experiment.of(folder, device=device, trust=trust_code)
        history = lab.take(folder, checkpoint).get("history") or folder.metrics()
    lab.objective.eval()
    pyro.set_rng_seed(seed)
    pyro.enable_validation(False)
    test = lab.dataset.test
    found = evidence(lab.model, lab.guide, test, samples=samples, memory=memory * 2**20, progress=True)
    means = posterior_means(lab, test)
    active = int((means.var(0) > ACTIVE).sum())
    summary = numbers(found) | {"samples": samples, "active_units": active, "latent": means.shape[1]}
    if test.min() >= 0 and (test == test.round()).all() and test.max() > 1:
        summary["perplexity"] = perplexity(found, test)
    folder.summarize({"test": summary})
    print(told(summary))
    draw(lab, means, folder, history, shown)
    print(f"figures: {folder.path / 'figures'}")
    if report:
        from training.report import write  # the tracer takes a second to import

        path, what = write(lab, folder, means, limit=int(report_megabytes * 1e6))
        print(f"report: {path} ({what})")
    return 0


def numbers(found: Evidence) -> dict[str, float]:
    """Means over the test set in nats per datum; each standard error is of that mean."""
    count = len(found.rate)
    return {
        "loss": -found.elbo.mean().item(),
        "rate": found.rate.mean().item(),
        "distortion": found.distortion.mean().item(),
        "nll": -found.log_evidence.mean().item(),
        "nll_monte_carlo_error": found.variance.sum().sqrt().item() / count,
        "nll_test_set_error": found.log_evidence.std().item() / count**0.5,
        "data": count,
    }


def perplexity(found: Evidence, counts: Tensor) -> float:
    """exp(-log p(words) / words), where p(words) spreads p(counts) evenly over the orders that have these counts.

    log p(words) = log p(counts) - log[N! / prod_i x_i!]: likelihoods with and without a model of the length N, and
    those of the words one by one, are then on one scale.
    """
    x = counts.flatten(1).double()
    orders = (x.sum(1) + 1).lgamma() - (x + 1).lgamma().sum(1)
    return ((orders - found.log_evidence).sum() / x.sum()).exp().item()


def told(summary: dict[str, float]) -> str:
    return (
        f"test -ELBO    {summary['loss']:.2f} nats per datum"
        f" = distortion {summary['distortion']:.2f} + rate {summary['rate']:.2f}\n"
        f"test -log p(x) {summary['nll']:.2f} nats per datum, at most ({summary['samples']} importance samples);"
        f" standard error {summary['nll_monte_carlo_error']:.3f} from sampling,"
        f" {summary['nll_test_set_error']:.2f} from the {summary['data']} test data\n"
        f"active units  {summary['active_units']} of {summary['latent']}"
        + (f"\nperplexity    {summary['perplexity']:.1f} per word" if "perplexity" in summary else "")
    )


@torch.no_grad()
def draw(lab: Experiment, means: Tensor, folder: RunFolder, history: list[dict], shown: int) -> None:
    """Writes the pictures of a run."""
    path, test = folder.path / "figures", lab.dataset.test
    shown = min(shown, len(test))

    def decoded(z: Tensor) -> np.ndarray:
        return lab.model.decode(z).mean.cpu().numpy()

    pairs = [test[:shown].cpu().numpy(), decoded(means[:shown])]
    reconstructions = figures.grid(pairs, ["test data", "mean of p(x|z)\nat the mean\nof q(z|x)"], "Reconstructions")
    figures.save(reconstructions, path / "reconstructions.png")

    samples = decoded(lab.model.prior().sample(torch.Size([5 * shown])))
    rows = samples.reshape(5, shown, *samples.shape[1:])
    figures.save(figures.grid(rows, [""] * 5, "Means of p(x|z) for z drawn from the prior"), path / "samples.png")

    steps = torch.linspace(0, 1, shown, device=means.device)[:, None]
    walks = [decoded(means[i] + steps * (means[i + 1] - means[i])) for i in range(0, min(10, len(means) - 1), 2)]
    walk = figures.grid(walks, [""] * len(walks), "Walks between the posterior means of two test data (left, right)")
    figures.save(walk, path / "walk.png")

    centred = means - means.mean(0)
    _, spread, directions = torch.linalg.svd(centred, full_matrices=False)
    codes = torch.nn.functional.pad(centred @ directions[:2].T, (0, max(0, 2 - means.shape[1])))
    kept = (spread[:2].square().sum() / spread.square().sum().clamp(min=1e-30)).item()
    figures.save(figures.latent_space(codes.cpu().numpy(), lab.dataset.test_labels, kept), path / "latent.png")
    if history:
        figures.save(figures.curves(history), path / "curves.png")


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="evaluate.py", description="Test ELBO, -log p(x), active units and figures of a run.")
    parser.add_argument("--trust-code", action="store_true", help="let the run name classes of other programs")
    parser.add_argument("--report", action="store_true", help="also write report.html, in which the model computes")
    parser.add_function_arguments(evaluate, as_positional=True, skip={"report", "trust_code"})
    with answered():
        options = parser.parse_args(argv)
        return evaluate(**{name: value for name, value in options.items() if name != "config"})


if __name__ == "__main__":
    sys.exit(main())
