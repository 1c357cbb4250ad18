"""Pictures of a study of gradient estimators."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter
except ImportError as error:
    raise ImportError("pictures of a study take matplotlib: pip install 'elbolab[plots]'") from error

from elbolab.studying.result import Result
from elbolab.studying.snr_slopes import family

Rows = Mapping[str, Sequence[Result]]
_MARKERS = "osD^vP*X<>"


def all_of(rows: Rows) -> dict[str, Figure]:
    """Every picture that these results are enough for, by name."""
    last_point, last = list(rows.items())[-1]
    figures = {"variance-cost": variance_cost(last, last_point), "histogram": histogram(last, last_point)}
    if len(rows) > 1:
        figures["variance-training"] = variance_training(rows)
    if len({r.particles for r in last}) > 1:
        figures["snr"] = signal_to_noise(last, last_point)
    return figures


class _Look:
    """Every estimator has one colour and one marker in all panels of a picture."""

    def __init__(self, results: Sequence[Result]) -> None:
        self.families = list(dict.fromkeys(map(family, results)))
        self._unbiased = {family(r): r.unbiased for r in results}
        colours = mpl.colormaps["tab10" if len(self.families) <= 10 else "tab20"]
        self._colours = {name: colours(i % colours.N) for i, name in enumerate(self.families)}

    def of(self, name: str) -> dict[str, object]:
        marker = _MARKERS[self.families.index(name) % len(_MARKERS)]
        label = name + ("" if self._unbiased[name] else " (biased)")
        return {"color": self._colours[name], "marker": marker, "markersize": 6, "label": label}


def _legend(figure: Figure, ax: Axes) -> None:
    figure.legend(*ax.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)


def variance_cost(results: Sequence[Result], point: str) -> Figure:
    """Variance against decoder evaluations and against time, the particles of an estimator joined by a line."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    panels, look = figure.subplots(1, 2, sharey=True), _Look(results)
    counts = sorted({r.particles for r in results})
    axes = {"evaluations": "decoder evaluations per gradient and datum", "milliseconds": "ms per replicated gradient"}
    for ax, (cost, label) in zip(panels, axes.items(), strict=True):
        for name in look.families:
            own = [r for r in results if family(r) == name and r.variance > 0]
            x, y, style = [getattr(r, cost) for r in own], [r.variance for r in own], look.of(name)
            ax.plot(x, y, linewidth=1, **style)
            for r in own:  # a larger marker for more particles
                size = 6 + 2.5 * counts.index(r.particles)
                ax.plot(getattr(r, cost), r.variance, **style | {"markersize": size, "label": None})
        ax.set(xscale="log", yscale="log", xlabel=label)
        _plain(ax.xaxis)
        _equal_products(ax)
        ax.grid(alpha=0.3)
    panels[0].set_ylabel("variance of the gradient, all parameters (nats²)")
    particles = ", ".join(map(str, counts))
    figure.suptitle(
        f"{point}: lower left is better; on a dotted line variance x cost is the same\n"
        f"markers grow with K = {particles}; only estimators of one bound have the same aim"
    )
    _legend(figure, panels[0])
    return figure


def _plain(axis: Axis) -> None:
    """Ticks as plain numbers, also between the powers of ten where there are few of those."""
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    low, high = axis.get_view_interval()
    powers = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
    between = sum(low <= factor * 10**power <= high for factor in (2, 3, 5) for power in range(-30, 30))
    if powers + between < 2:  # a stretch so short that not two of 1, 2, 3, 5, 10, ... lie in it
        axis.set_major_locator(MaxNLocator(4))
    few = powers < 3 and powers + between > 1
    axis.set_minor_locator(LogLocator(subs=(2, 3, 5)) if few else NullLocator())
    axis.set_minor_formatter(StrMethodFormatter("{x:g}") if few else NullFormatter())


def _equal_products(ax: Axes) -> None:
    """Lines of variance x cost = 1, 10, 100, ... behind the points, whose limits stay."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    for power in range(math.floor(math.log10(left * low)), math.ceil(math.log10(right * high)) + 1):
        ax.plot([left, right], [10**power / left, 10**power / right], ":", color="grey", linewidth=0.6, zorder=0)
    ax.set(xlim=(left, right), ylim=(low, high))


def variance_training(rows: Rows) -> Figure:
    """Variance at the points of training, for the model's parameters and the guide's, at the most particles."""
    last = list(rows.values())[-1]
    count = max(r.particles for r in last)
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    panels, look = figure.subplots(1, 2), _Look([r for r in last if r.particles == count])
    for ax, group in zip(panels, ("model", "guide"), strict=True):
        for name in look.families:
            own = [next(r for r in found if r.label == f"{name} K={count}") for found in rows.values()]
            ax.plot(range(len(rows)), [getattr(r, f"variance_{group}") for r in own], **look.of(name))
        ax.set(yscale="log", title=f"parameters of the {group}", xlabel="point of training")
        _plain(ax.yaxis)
        ax.set_xticks(range(len(rows)), [name.replace(" (", "\n(") for name in rows])
        ax.grid(alpha=0.3)
    panels[0].set_ylabel("variance of the gradient (nats²)")
    figure.suptitle(f"along training, K = {count}; lower is better")
    _legend(figure, panels[0])
    return figure


def signal_to_noise(results: Sequence[Result], point: str) -> Figure:
    """Signal-to-noise ratio against K, beside sqrt(K) and 1 / sqrt(K)."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    panels, look = figure.subplots(1, 2), _Look(results)
    counts = sorted({r.particles for r in results})
    for ax, group in zip(panels, ("model", "guide"), strict=True):
        seen = []
        for name in look.families:
            own = [r for r in results if family(r) == name]
            ratios = [getattr(r, f"snr_{group}") for r in own]
            seen += [ratio for ratio in ratios if ratio > 0]  # nan is not
            ax.plot([r.particles for r in own], ratios, linewidth=1, **look.of(name))
        _rates(ax, counts, seen)
        floor = max(r.snr_floor for r in results)
        if seen and floor > min(seen) / 2:
            ax.axhline(floor, color="black", linewidth=0.8, linestyle=":", label="what this many replicates can see")
        ax.set(xscale="log", yscale="log", title=f"parameters of the {group}", xlabel="particles K")
        ax.set_xticks(counts, map(str, counts))
        ax.xaxis.set_minor_locator(NullLocator())
        _plain(ax.yaxis)
        ax.grid(alpha=0.3)
    panels[0].set_ylabel("SNR: mean over parameters of |E g| / sd g")
    figure.suptitle(f"{point}: signal-to-noise ratio; higher is better")
    _legend(figure, panels[1])
    return figure


def _rates(ax: Axes, counts: Sequence[int], seen: Sequence[float]) -> None:
    """sqrt(K) and 1/sqrt(K), crossing a little below the middle of what is drawn."""
    middle = 0.6 * math.exp(np.mean(np.log(seen))) if seen else 1.0
    centre = math.sqrt(counts[0] * counts[-1])
    k = np.array([counts[0], counts[-1]], float)
    for power, style, label in ((0.5, "--", "proportional to sqrt(K)"), (-0.5, "-.", "proportional to 1/sqrt(K)")):
        ax.plot(k, middle * (k / centre) ** power, style, color="grey", linewidth=1.2, label=label, zorder=0)


def histogram(results: Sequence[Result], point: str) -> Figure:
    """The same coordinate's gradient for every estimator at its most particles, on one axis."""
    most = {family(r): r for r in sorted(results, key=lambda r: r.particles)}
    look = _Look(results)
    chosen = [most[name] for name in look.families]
    # Wide enough for most of them: the noisiest would squeeze the others into a line.
    reach = max(4 * np.median([r.draws.std() for r in chosen]), 1e-9)
    centre = np.median([r.draws.mean() for r in chosen])
    limits = (centre - reach, centre + reach)
    figure = Figure(figsize=(8, 0.75 * len(chosen) + 1.4), layout="constrained")
    panels = figure.subplots(len(chosen), 1, sharex=True, squeeze=False)[:, 0]
    for ax, r in zip(panels, chosen, strict=True):
        colour = look.of(family(r))["color"]
        ax.hist(r.draws, np.linspace(*limits, 61), histtype="stepfilled", color=colour, alpha=0.7)
        ax.axvline(r.draws.mean(), color="black", linewidth=1)
        ax.set_yticks([])
        ax.set_xlim(*limits)
        ax.set_ylabel(f"{family(r)}\nK = {r.particles}, {r.bound}", rotation=0, ha="right", va="center", fontsize=8)
        outside = np.mean((r.draws < limits[0]) | (r.draws > limits[1]))
        text = f"sd {r.draws.std():.2g}" + (f", {outside:.0%} outside" if outside >= 0.005 else "")
        ax.text(0.99, 0.8, text, transform=ax.transAxes, ha="right", va="top", fontsize=8)
    panels[-1].set_xlabel(f"gradient of {chosen[0].coordinate} (nats per datum); line: mean")
    figure.suptitle(f"{point}: one coordinate of the gradient, histograms of single draws")
    return figure
