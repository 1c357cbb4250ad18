"""The tables of README and docs/results.md, each from what was kept and from nothing else."""

import math
from collections.abc import Callable, Mapping, Sequence

from experiments.kept import Kept
from experiments.published import SOURCES
from experiments.statistics import Claim, answer, deviation, freedom, mean

Results = Mapping[str, Sequence[Kept]]

DATA = {"mnist": "MNIST", "digits": "Digits", "fashion": "Fashion-MNIST"}
LABELS = {
    "": "VAE",
    "-iwae-5": "IWAE, 5 particles",
    "-dreg-5": "IWAE by DReG, 5 particles",
    "-iwae-50": "IWAE, 50 particles",
    "-dreg-50": "IWAE by DReG, 50 particles",
    "-vamp": "prior VampPrior (100)",
    "-flow-prior": "prior AutoregressiveFlow (2)",
    "-flow-guide": "guide Flow (2)",
    "-two-levels": "two levels (20 + 20)",
    "-static": "binarised once",
}
CLAIMS = (
    Claim("-iwae-5", "", "5 particles below 1"),
    Claim("-iwae-50", "-iwae-5", "50 particles below 5"),
    Claim("-dreg-5", "-iwae-5", "DReG below IWAE, 5 particles"),
    Claim("-dreg-50", "-iwae-50", "DReG below IWAE, 50 particles"),
    Claim("-vamp", "", "VampPrior below the standard prior"),
    Claim("-two-levels", "", "two levels below one"),
    Claim("", "-static", "binarised anew below binarised once"),
)
CURES = {
    "": "none",
    "-warmup": "beta rises over half of the epochs",
    "-free-bits": "a tenth of a nat per latent is free",
    "-vamp": "a learned prior, VampPrior (100)",
    "-iwae": "IWAE, 50 particles",
}
PRIORS = {
    "standard": "StandardNormal",
    "laplace": "Laplace",
    "mixture": "Mixture (20)",
    "vamp": "VampPrior (100)",
    "flow": "AutoregressiveFlow (2)",
}
BETAS = ("0.3", "1", "3")


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def within(number: float, error: float) -> str:
    """A mean over seeds and its standard error, where there is one."""
    return f"{number:.2f}" if not math.isfinite(error) else f"{number:.2f} ± {error:.2f}"


def setup(records: Sequence[Kept]) -> str:
    """How a row was trained, in a line."""
    settings, optimizer = records[0].settings, records[0].settings["optimizer"]
    schedule = (settings.get("schedule") or {}).get("class_path", "a constant").split(".")[-1]
    hidden = settings["hidden"] if isinstance(settings["hidden"], list) else [settings["hidden"]]
    widths = "-".join(map(str, [*hidden, settings["latent"]]))
    return (
        f"{widths}, {settings['network']['init_args']['activation']}, {settings['epochs']} epochs of batches of"
        f" {settings['batch_size']}, {optimizer['class_path'].split('.')[-1]} {optimizer['init_args']['lr']:g},"
        f" {schedule} rate; {records[0].test['samples']} importance samples;"
        f" torch {records[0].versions['torch']}, pyro-ppl {records[0].versions['pyro-ppl']}"
    )


def _seeds(records: Sequence[Kept]) -> str:
    return ", ".join(str(record.seed) for record in records)


def published(results: Results) -> str:
    body = []
    for source in SOURCES:
        for figure in source.figures:
            ours = results.get(figure.row, ())
            body.append(
                [
                    figure.what,
                    f"{figure.figure:.2f}",
                    f"{mean(ours):.2f}" if ours else _not_run(figure.row),
                    f"{mean(ours) - figure.figure:+.2f}" if ours else "",
                    source.name,
                ]
            )
    full = [s.reference + (f", arXiv {s.arxiv}" if s.arxiv else "") for s in SOURCES]
    lines = [markdown(["MNIST", "published", "ours", "difference", "source"], body), "\n".join(f"- {s}." for s in full)]
    for row in dict.fromkeys(figure.row for source in SOURCES for figure in source.figures if figure.row in results):
        test, records = results[row][0].test, results[row]
        lines.append(
            f"`experiments/{row}.yaml`: {setup(records)}; seeds {_seeds(records)}; {test['active_units']} of"
            f" {test['latent']} units active; test -ELBO {mean(records, 'loss'):.2f}; standard error"
            f" {test['nll_test_set_error']:.2f} from the test set, {test['nll_monte_carlo_error']:.3f} from sampling."
        )
    return "\n\n".join(lines)


def _not_run(row: str) -> str:
    return f"not run: `{row}`" if row else "not run"


def budget(prefix: str) -> Callable[[Results], str]:
    """The rows of one data set at one budget."""

    def table(results: Results) -> str:
        rows = {f"{prefix}{ending}": label for ending, label in LABELS.items() if f"{prefix}{ending}" in results}
        spread = {number: deviation([results[row] for row in rows], number) for number in ("loss", "nll")}
        body = []
        for row, label in rows.items():
            records = results[row]
            error = {number: spread[number] / len(records) ** 0.5 for number in spread}
            body.append(
                [
                    label,
                    within(mean(records, "loss"), error["loss"]),
                    f"{mean(records, 'distortion'):.2f}",
                    f"{mean(records, 'rate'):.2f}",
                    within(mean(records), error["nll"]),
                    f"{mean(records, 'active_units'):.0f} of {records[0].test['latent']}",
                    _seeds(records),
                ]
            )
        head = ["", "test -ELBO", "distortion", "rate", "test -log p(x)", "active units", "seeds"]
        kept = f"{DATA[prefix]}: {setup(results[prefix])}.\n\n{markdown(head, body)}" if prefix in results else ""
        return kept or f"{DATA[prefix]}: not run; the rows are there, experiments/{prefix}.yaml and those beside it."

    return table


def orderings(results: Results) -> str:
    body, known = [], []
    for prefix, name in DATA.items():
        groups = [results[f"{prefix}{ending}"] for ending in LABELS if f"{prefix}{ending}" in results]
        spread, seeds = deviation(groups), freedom(groups)
        if seeds:
            degrees = "1 degree" if seeds == 1 else f"{seeds} degrees"
            known.append(f"{name}: a deviation between seeds of {spread:.3f}, from {degrees} of freedom.")
        for claim in CLAIMS:
            full = Claim(prefix + claim.lower, prefix + claim.higher, claim.text)
            if full.lower in results and full.higher in results:
                found = answer(full, results, spread, seeds)
                body.append([name, claim.text, within(found.difference, found.error), found.word])
    return "\n\n".join([markdown(["data", "claim", "by (nats per datum)", "answer"], body), *known])


def exact(results: Results) -> str:
    body = []
    for record in results.get("digits-linear", ()):
        found = record.exact
        body.append(
            [
                str(record.seed),
                f"{found['elbo']:.3f}",
                f"{found['log_evidence']:.3f}",
                f"{found['maximum']:.3f}",
                f"{found['maximum'] - found['elbo']:.3f}",
                f"{found['another_for_the_last']:.3f}",
                f"{found['without_the_last']:.3f}",
            ]
        )
    head = ["seed", "training ELBO", "log p(x)", "exact maximum", "short of it"]
    return markdown([*head, "saddle: 11th for the 10th eigenvector", "stationary: the 10th unused"], body)


def collapse(results: Results) -> str:
    rows = {f"digits-collapse{ending}": label for ending, label in CURES.items()}
    kept = [row for row in rows if row in results]
    spread = deviation([results[row] for row in kept])
    body = []
    for row in kept:
        records = results[row]
        cells = [rows[row], f"{mean(records, 'rate'):.2f}", f"{mean(records, 'distortion'):.2f}"]
        active = f"{mean(records, 'active_units'):.1f} of {records[0].test['latent']}"
        body.append([*cells, active, within(mean(records), spread / len(records) ** 0.5), _seeds(records)])
    return markdown(["cure", "rate", "distortion", "active units", "test -log p(x)", "seeds"], body)


def rate_distortion(results: Results) -> str:
    body = []
    for name, label in PRIORS.items():
        rows = [results.get(f"rate-{name}-{beta}") for beta in BETAS]
        if all(rows):
            body.append([label, *(f"{mean(r, 'rate'):.2f}, {mean(r, 'distortion'):.2f}" for r in rows if r)])
    return markdown(["rate, distortion", *(f"beta {beta}" for beta in BETAS)], body)


def front(results: Results) -> str:
    rows = {
        "": ("StandardNormal", "DiagonalNormal", "ELBO"),
        "-iwae-5": ("StandardNormal", "DiagonalNormal", "IWAE, 5 particles"),
        "-vamp": ("VampPrior (100)", "DiagonalNormal", "ELBO"),
        "-flow-prior": ("AutoregressiveFlow (2)", "DiagonalNormal", "ELBO"),
    }
    rows = {f"mnist{ending}": parts for ending, parts in rows.items()}
    if long := results.get("burda-vae"):
        published = next(figure.figure for source in SOURCES for figure in source.figures if figure.row == "burda-vae")
        note = f"ELBO, {long[0].settings['epochs']} epochs, Burda et al.'s network: published {published:.2f}"
        rows["burda-vae"] = ("StandardNormal", "DiagonalNormal", note)
    body = []
    for row, parts in rows.items():
        if records := results.get(row):
            numbers = [f"{mean(records, 'loss'):.2f}", f"{mean(records):.2f}"]
            body.append([*parts, *numbers, f"{records[0].test['samples']}", str(len(records))])
    return markdown(["prior", "guide", "objective", "test -ELBO", "test -log p(x)", "samples", "seeds"], body)


TABLES: dict[str, Callable[[Results], str]] = {
    "published": published,
    **{prefix: budget(prefix) for prefix in DATA},
    "orderings": orderings,
    "exact": exact,
    "collapse": collapse,
    "rate-distortion": rate_distortion,
    "front": front,
}
