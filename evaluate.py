"""Judges a trained run: python evaluate.py runs/NAME.

Test ELBO = -(distortion + rate), -log p(x) by importance sampling, active units; figures. On screen, in summary.json.
"""

import signal
import sys

if __name__ == "__main__":  # the imports take seconds: who stops the program meanwhile gets no traceback
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

import hashlib
from collections.abc import Callable
from pathlib import Path

import pyro
from torch import Tensor

from elbolab import Evidence, evidence, pareto
from elbolab.report.page import LIMIT
from training import (
    Experiment,
    Kept,
    Parser,
    RunFolder,
    answered,
    comparison,
    pictures,
    posterior_checks,
    refuse_mistakes,
    using,
)
from training.history import judged_on
from training.run import posterior_means

MANY = 0.05  # of the data, with weights too heavy: from there on their mean is called in question
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
    calibration: bool = False,
    ais: int = 0,
    report: bool = False,
    report_megabytes: float = LIMIT / 1e6,
    trust_code: bool = False,
) -> int:
    """Evaluates a run and returns the exit code.

    Args:
        run: the run's folder.
        checkpoint: which one is judged: last, the one before it (previous) or the best by its validation -ELBO.
        samples: draws of z per test datum.
        device: auto, cpu, cuda or cuda:0.
        memory: about how many MiB the draws may take at a time.
        seed: of the draws.
        shown: how many data the figures show.
        calibration: also look at the guide on simulated data, and at the aggregate posterior beside the prior.
        ais: of how many test data -log p(x) is also found by annealed importance sampling.
        report: also write report.html, one file with the run's model computing in it.
        report_megabytes: what that file may take; what does not fit is left out, and named.
        trust_code: let the run name classes that are not this program's.
    """
    folder = RunFolder(run)
    with refuse_mistakes():
        whole = (("samples", samples, 1), ("memory", memory, 1), ("shown", shown, 2), ("ais", ais, 0))
        for name, value, least in whole:
            if value < least:
                raise ValueError(f"{name} = {value}: at least {least}")
        if not report_megabytes >= 0.2:
            raise ValueError(f"report_megabytes = {report_megabytes}: at least 0.2")
        lab = Experiment.of(folder, device=device, trust=trust_code)
        saved = lab.take(folder, checkpoint)
        history = saved.get("history") or folder.metrics()
    if checkpoint == "best" and history and judged_on(history[-1]) == "test":  # as earlier versions did
        print("note: this checkpoint was chosen by the test set: new data will score worse", file=sys.stderr)
    lab.objective.eval()
    with refuse_mistakes():
        posterior_checks.check(lab, calibration_wanted=calibration, chains_wanted=ais > 0)
    pyro.set_rng_seed(seed)
    pyro.enable_validation(False)
    test = lab.dataset.test
    tail = samples >= pareto.LEAST and pareto.installed()
    found = evidence(lab.model, lab.guide, test, samples=samples, memory=memory * 2**20, progress=True, khat=tail)
    means = posterior_means(lab, test)
    summary = numbers(found) | {"samples": samples, "active_units": active(means), "latent": means.shape[1]}
    if test.min() >= 0 and (test == test.round()).all() and test.max() > 1:
        summary["perplexity"] = perplexity(found, test)
    judged = {"checkpoint": checkpoint, "step": saved["step"], "samples": samples, **seen(lab)}
    folder.summarize({"test": summary, "judged": judged})
    print(told(summary))
    if calibration:
        of_guide, words = posterior_checks.calibrated(lab)
        folder.summarize({"calibration": of_guide})
        print(words)
    if ais:
        by_chains, words = posterior_checks.annealing(lab, found.log_evidence[:ais])
        folder.summarize({"ais": by_chains})
        print(words)
    pictures.draw(lab, means, folder, history, shown)
    print(f"figures: {folder.path / 'figures'}")
    if report:
        from training.report import write  # the tracer takes a second to import

        path, what = write(lab, folder, means, limit=int(report_megabytes * 1e6))
        print(f"report: {path} ({what})")
    return 0


def active(means: Tensor) -> int:
    """How many units' posterior means, (data, units), vary over data."""
    return int((means.var(0) > ACTIVE).sum())


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
        "effective_draws": found.effective.median().item(),
        "data": count,
    } | ({} if found.khat is None else heavy(found.khat, found.draws))


def heavy(khat: Tensor, draws: int) -> dict[str, float]:
    """How many data have weights whose mean so many draws do not give: their -log p(x) is looser than it looks."""
    limit = pareto.largest_trusted(draws)
    return {"khat_limit": limit, "khat_beyond": int((khat > limit).sum())}


def seen(lab: Experiment) -> dict[str, str]:
    """What numbers of two runs are comparable by: the test data as the likelihood sees them, and its measure."""
    values = lab.dataset.test.float().cpu().numpy()
    measure = "mass" if lab.model.likelihood.support.is_discrete else "density"
    return {"data": hashlib.sha256(values.tobytes()).hexdigest(), "measure": measure}


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
        + f"\nthe weights   {weights(summary)}"
    )


def weights(summary: dict[str, float]) -> str:
    """Whether -log p(x) can be trusted, by the weights that it is a mean of."""
    effective = f"{summary['effective_draws']:.3g} effective of {summary['samples']} (half of the data have less)"
    if "khat_beyond" not in summary:
        need = f"at least {pareto.LEAST} samples" + (
            "" if pareto.installed() else ", pip install 'elbolab[diagnostics]'"
        )
        return f"{effective}; how heavy their tail is was not looked at: {need}"
    share = summary["khat_beyond"] / summary["data"]
    found = f"Pareto k above {summary['khat_limit']:.2f} for {summary['khat_beyond']} of {summary['data']} data"
    if share <= MANY:
        return f"{effective}; {found}"
    return f"{effective};\nwarning: {found}: -log p(x) is not to be trusted: more --samples, or a richer guide"


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["compare"]:  # the one command that takes several runs; a folder of this name is ./compare
        return compare(argv[1:])
    parser = Parser(
        prog="evaluate.py",
        description="Judges a run: test ELBO, -log p(x), active units and figures. Or, with a command, uses it.",
        epilog="evaluate.py compare RUN RUN ...: one table over runs; evaluate.py compare --help",
    )
    calibration = "also look at the guide on data that the model simulates, and at q(z) beside p(z)"
    _add(parser, evaluate, report="also write report.html, in which the model computes", calibration=calibration)
    commands = parser.add_subcommands(required=False, dest="command")
    for name, function in using.COMMANDS.items():
        command = Parser(description=_described(function))
        _add(command, function, "run")
        commands.add_subcommand(name, command, help=(function.__doc__ or "").partition("\n")[0])
        command.prog = f"evaluate.py RUN {name}"
    with answered():
        options = parser.parse_args(argv)
        given = {name: value for name, value in options.items(branches=True) if name not in ("config", "command")}
        own = given.pop(options.command, None) if options.command else None
        given = {name: value for name, value in given.items() if "." not in name}
        if own is None:
            return evaluate(**given)
        if stray := [n for n, v in given.items() if n != "run" and v != parser.get_default(n)]:
            parser.error(f"--{stray[0]} before {options.command} would judge the run: options of a command follow it")
        with refuse_mistakes():
            chosen = {name: value for name, value in own.items() if name != "config"}
            return using.COMMANDS[options.command](options.run, **chosen)


def compare(argv: list[str]) -> int:
    parser = Parser(prog="evaluate.py compare", description=_described(comparison.compare))
    parser.add_argument("runs", nargs="+", type=Path, help="the runs' folders, such as runs/*")
    parser.add_function_arguments(comparison.compare, skip={"runs"})
    with answered():
        options = parser.parse_args(argv)
        with refuse_mistakes():
            return comparison.compare(options.runs, csv=options.csv, picture=options.picture)


def _described(function: Callable[..., int]) -> str:
    return " ".join((function.__doc__ or "").partition("Args:")[0].split())


def _add(parser: Parser, function: Callable[..., int], *skip: str, **switches: str) -> None:
    """The options of a function: its positional arguments by their place, switches without a value."""
    switches |= {"trust_code": "let the run name classes of other programs"}
    for name, words in switches.items():
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=words)
    parser.add_function_arguments(function, as_positional=True, skip={*skip, *switches})


if __name__ == "__main__":
    sys.exit(main())
