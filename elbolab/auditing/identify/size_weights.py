"""How a weight grows with the sizes: c batch^i data^j latent^k, read off by doubling one size at a time."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from elbolab.auditing.probe.loss import NoTensor, Raised
from elbolab.auditing.probe.points import Layout

AXES = ("batch", "data", "latent")
# Where a weight that depends on a size is quoted: MNIST, and the two latents of the tutorials.
REFERENCE = {"batch": 100, "data": 784, "latent": 2}
# Sizes of one datum that codes hard-wire: MNIST, Frey faces, and images of 32, 64, 128, 224 and 256 pixels' width.
KNOWN_DATA = (784, 560, 1024, 3072, 4096, 12288, 16384, 49152, 65536, 150528, 196608)
SMALLEST = 16  # data of fewer numbers are not looked for in the code: 2 and 4 stand in every loss
SMALLEST_LATENT = 8
NEGLIGIBLE = 1e-4  # relative: what an epsilon inside a logarithm does
Weights = tuple[float, ...]


@dataclass(frozen=True)
class Monomial:
    """c batch^i data^j latent^k; `fixed` holds the sizes that the code insists on."""

    c: float
    powers: Mapping[str, float] = field(default_factory=dict)
    fixed: Mapping[str, int] = field(default_factory=dict)

    def at(self, sizes: Mapping[str, int]) -> float:
        """Its value at these sizes, those that the code insists on aside."""
        return self.c * math.prod((self.fixed.get(axis) or sizes[axis]) ** p for axis, p in self.powers.items())

    @property
    def value(self) -> float:
        return self.at(REFERENCE)

    def __truediv__(self, other: "Monomial") -> "Monomial":
        powers = {axis: self.powers.get(axis, 0) - other.powers.get(axis, 0) for axis in AXES}
        c = self.c / other.c if other.c else math.nan
        return Monomial(c, {axis: p for axis, p in powers.items() if p}, {**other.fixed, **self.fixed})

    @property
    def odd(self) -> tuple[str, ...]:
        """The sizes that it changes with by no whole power."""
        return tuple(axis for axis, p in self.powers.items() if not float(p).is_integer())

    @property
    def constant(self) -> bool:
        return not self.powers

    @property
    def is_one(self) -> bool:
        return self.constant and abs(self.c - 1) < NEGLIGIBLE

    def pinned(
        self, written: Iterable[int] = (), factors: tuple[float, ...] = (1.0,)
    ) -> tuple["Monomial", dict[str, int]]:
        """With a size that the code fixes taken for what it stands for: 784 / data is 1 for data of 784 numbers.

        `written` are the whole numbers in the code and their products, `factors` what may be left of the weight.
        """
        sizes = {
            "data": {*KNOWN_DATA, *(n for n in written if n >= SMALLEST)},
            "latent": {n for n in written if n >= SMALLEST_LATENT},
        }
        for axis, known in sizes.items():
            power = self.powers.get(axis, 0)
            rest = {other: p for other, p in self.powers.items() if other != axis}
            own = self.fixed.get(axis)  # a size that is stated is no other
            for size in sorted(known) if abs(power) == 1 and not rest and own in (None, *known) else ():
                if own not in (None, size):
                    continue
                for factor in factors:
                    if abs(self.c * size**power - factor) < 1e-6 * factor:
                        return Monomial(factor, rest, self.fixed), {axis: size}
        return self, {}

    def __str__(self) -> str:
        above = [_power(axis, p) for axis, p in self.powers.items() if p > 0]
        below = [_power(axis, -p) for axis, p in self.powers.items() if p < 0]
        if not self.c:
            return "0"
        inverse = 1 / self.c
        if abs(self.c) < 1 and abs(inverse - round(inverse)) < 1e-6 * abs(inverse):
            below = [f"{round(inverse)}", *below] if abs(inverse) > 1.5 else below
        elif abs(self.c - 1) > 1e-6 or not above:
            above = [f"{round(self.c, 9):.6g}", *above]
        top, bottom = " * ".join(above) or "1", " * ".join(below)
        return top + (f" / {bottom}" if len(below) == 1 else f" / ({bottom})" if below else "")


def _power(axis: str, p: float) -> str:
    return axis if p == 1 else f"{axis}^{p:g}"


def measure(weigh: Callable[[Layout], Weights], layout: Layout, error: float) -> list[Monomial]:
    """Each of the weights as a monomial of the sizes, its factor the shortest number within the relative error.

    A size that the code hard-wires is left alone; the mean over it is recognised by the size's inverse.
    """
    sizes = layout.sizes
    base = weigh(layout)
    doubled = {axis: _tried(weigh, layout.doubled(axis)) for axis in AXES}
    fixed = {axis: sizes[axis] for axis in AXES if doubled[axis] is None and sizes[axis] > 1}
    found = []
    for i, weight in enumerate(base):
        powers = {axis: _exponent(weight, after[i]) for axis, after in doubled.items() if after is not None}
        powers = {axis: p for axis, p in powers.items() if p}
        c = weight / math.prod(sizes[axis] ** p for axis, p in powers.items())
        for axis, size in fixed.items():
            if abs(c * size - 1) < 1e-6:
                powers[axis], c = -1, c * size
        quoted = fixed | {axis: sizes[axis] for axis in layout.stated}
        found.append(Monomial(_shortest(c, max(error, 1e-8)), powers, quoted))
    return found


def _shortest(c: float, error: float) -> float:
    """An epsilon inside a logarithm moves a factor a little: 0.999993 with an error of 1e-5 is 1."""
    rounded = (float(f"{c:.{digits}g}") for digits in range(1, 17))
    return next((r for r in rounded if abs(r - c) <= error * abs(c)), c)


def _tried(weigh: Callable[[Layout], Weights], layout: Layout | None) -> Weights | None:
    try:
        return weigh(layout) if layout else None
    except (Raised, NoTensor):  # the code insists on its size
        return None


def _exponent(before: float, after: float) -> float:
    if before == 0 or after / before <= 0 or not math.isfinite(after):
        return 0
    power = math.log2(after / before)
    return round(power) if abs(power - round(power)) < 1e-3 else round(power, 4)


def reduction(monomial: Monomial, axes: tuple[str, str]) -> str:
    """In words: the sum or the mean over the data or the latents, and over the batch."""
    words = {0.0: "sum", -1.0: "mean"}
    powers = {axis: monomial.powers.get(axis, 0) for axis in axes}
    return ", ".join(f"{words.get(p, 'sum')} over {axis}" + _oddity(axis, p) for axis, p in powers.items())


def _oddity(axis: str, p: float) -> str:
    return "" if p in (0, -1) or not float(p).is_integer() else f" times {_power(axis, p)}"
