"""The study as text, 120 columns wide."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

import torch

from elbolab.studying.result import Result
from elbolab.studying.snr_slopes import family

_WIDE = 3  # points of training that fit beside each other


def measured(point: str, results: Sequence[Result]) -> list[str]:
    """What was measured at one point of training."""
    counts = sorted({r.replicates for r in results})
    lines = [
        f"{point}: {' or '.join(map(str, counts))} gradients each",
        f"{'':34}{'':8}{'bias':>9} {'':24}{'variance':>15}   {'SNR':>10}   {'a gradient':>11}",
        f"{'estimator':28}{'K':>4}  {'unbiased':8}{'max |z|':>9} {'against':24}{'model':>9}{'guide':>9}"
        f"{'model':>7}{'guide':>7}{'evals':>6}{'ms':>6}",
    ]
    for bound, group in _by_bound(results):
        lines.append(f" {bound}")
        for r in group:
            score = "-" if math.isnan(r.bias_z) else f"{r.bias_z:.3g}{'!' if r.biased else ' '}"
            lines.append(
                f"{_short(family(r), 28):28}{r.particles:>4}  {'yes' if r.unbiased else 'no':8}{score:>9}"
                f" {_short(r.reference, 24):24}{r.variance_model:>9.3g}{r.variance_guide:>9.3g}"
                f"{r.snr_model:>7.2g}{r.snr_guide:>7.2g}{r.evaluations:>6g}{r.milliseconds:>6.2g}"
            )
    return lines + _notes(results)


def _notes(results: Sequence[Result]) -> list[str]:
    bounds = [r.bias_bound for r in results if not math.isnan(r.bias_bound)]
    floors = [r.snr_floor for r in results if r.signal != "exact"]
    notes = []
    if bounds:
        notes.append(
            f"!: biased, in a coordinate or jointly; by chance |z| exceeds {max(bounds):.1f} in one of 10^5 studies."
        )
    if errors := [r.variance_error / r.variance for r in results if r.variance > 0]:
        notes.append(f"Variances are known to {100 * max(errors):.1g} % and better (one standard error).")
    if named := dict.fromkeys(r.signal for r in results if r.signal.startswith("mean of")):
        notes.append(f"The signal of a biased estimator is the {', the '.join(named)}.")
    if floors:
        notes.append(f"SNR below about {max(floors):.2g} is not seen with so many gradients.")
    if any(r.warm_up for r in results):
        warmed = dict.fromkeys(family(r) for r in results if r.warm_up)
        steps = max(r.warm_up for r in results)
        notes.append(f"Trained on these data for {steps} steps first: what {', '.join(warmed)} learns itself.")
    if slow := dict.fromkeys(family(r) for r in results if r.how == "loop"):
        notes.append(f"Drawn in a loop, and timed so: {', '.join(slow)}.")
    return notes


def at_equal_cost(rows: Mapping[str, Sequence[Result]]) -> list[str]:
    """Variance times cost at every point: what is left when gradients are averaged until all have cost the same."""
    lines, names = [], list(rows)
    for start in range(0, len(names), _WIDE):
        lines += ["", *_at_equal_cost({name: rows[name] for name in names[start : start + _WIDE]})]
    return lines[1:]


def _at_equal_cost(rows: Mapping[str, Sequence[Result]]) -> list[str]:
    width = 12 * len(rows)
    names = "".join(f"{_short(name.split(' (')[0], 11):>12}" for name in rows)
    lines = [
        "variance of all parameters at equal cost; *: the least of the unbiased for its bound",
        f"{'':34}{'at equal decoder evaluations':>{max(width, 30)}}   {'at equal time':>{max(width, 16)}}",
        f"{'':34}{'variance x evaluations':>{max(width, 30)}}   {'variance x ms':>{max(width, 16)}}",
        f"{'estimator':30}{'K':>4}{names:>{max(width, 30)}}   {names:>{max(width, 16)}}",
    ]
    columns = [list(results) for results in rows.values()]
    for bound, group in _by_bound(columns[0]):
        lines.append(f" {bound}")
        for r in group:
            cells = [
                "".join(_cell(next(o for o in column if o.label == r.label), column, cost) for column in columns)
                for cost in ("variance_evaluations", "variance_milliseconds")
            ]
            lines.append(
                f"{_short(family(r), 30):30}{r.particles:>4}{cells[0]:>{max(width, 30)}}   {cells[1]:>{max(width, 16)}}"
            )
    return lines


def _cell(result: Result, all_of_them: Sequence[Result], cost: str) -> str:
    value = getattr(result, cost)
    rivals = [getattr(r, cost) for r in all_of_them if r.bound == result.bound and r.unbiased]
    best = result.unbiased and len(rivals) > 1 and value == min(rivals)
    return f"{value:>11.3g}{'*' if best else ' '}"


def speed(rows: Mapping[str, Sequence[Result]]) -> list[str]:
    """How much faster replicated gradients are than a loop, measured here."""
    results = [r for found in rows.values() for r in found if r.how == "vmap"]
    if not results:
        return ["no estimator could be captured: all gradients were drawn in a loop"]
    replicated, loop = sum(r.milliseconds for r in results), sum(r.milliseconds_loop for r in results)
    ratios = [r.milliseconds_loop / r.milliseconds for r in results]
    count = len(results)
    return [
        f"a replicated gradient took {replicated / count:.3f} ms, one in a loop over the eager objective"
        f" {loop / count:.2f} ms: {loop / replicated:.0f} times faster",
        f"   (median over estimators {statistics.median(ratios):.0f}, least {min(ratios):.0f};"
        f" {torch.get_num_threads()} threads; to capture an estimator took"
        f" {statistics.mean(r.capture_seconds for r in results):.2f} s, once)",
    ]


def _by_bound(results: Sequence[Result]) -> Iterator[tuple[str, list[Result]]]:
    """Estimators of the same bound can be compared."""
    for bound in dict.fromkeys(r.bound for r in results):
        yield bound, [r for r in results if r.bound == bound]


def _short(text: str, width: int) -> str:
    return text if len(text) < width else text[: width - 2] + "…"
