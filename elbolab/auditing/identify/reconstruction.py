"""Which likelihood is the first half of a loss? Its gradient in the decoder's output is held against each family's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from elbolab.auditing.identify.families import CATEGORICALS, HALVES, LIKELIHOODS, SLIPS, TAKES, Family
from elbolab.auditing.probe.loss import Loss
from elbolab.auditing.probe.points import Layout, Probe, draw, one_hot

TWICE = "a sigmoid is applied twice: the decoder's output is already a probability, and the loss takes it for a logit"
MISSING = "a sigmoid is missing: the decoder's output is a logit, and the loss takes it for a probability"
CLASHES = {("probs", "logits"): TWICE, ("mean", "logits"): TWICE, ("logits", "probs"): MISSING}
UNKNOWN = "the reconstruction's gradient is that of no likelihood known here (Bernoulli, Gaussian, Laplace, ...)"


@dataclass(frozen=True)
class Reconstruction:
    """`weight` times the family's -log p(x | output); `fault` is the kind of verdict that it forces, if any."""

    family: Family | None = None
    weight: float = 0.0
    fault: str = ""
    notes: tuple[str, ...] = ()

    def value(self, layout: Layout, point: Probe) -> float:
        """-log p(x | output) summed, without the constant that families with a scale leave out."""
        return self.family.nll(point["output"], one_hot(layout, point), _axis(layout)).double().sum().item()


def fit(found: Sequence[Tensor], shapes: Sequence[Tensor]) -> tuple[float, float]:
    """The factor between two lists of gradients, and the largest relative deviation from it; inf for nan."""
    g, s = (torch.cat([t.double().flatten() for t in side]) for side in (found, shapes))
    factor = (g @ s) / (s @ s)
    apart = (g - factor * s).abs().max() / g.abs().max()
    return (factor.item(), apart.item()) if torch.isfinite(apart) else (0.0, float("inf"))


def weigh(loss: Loss, layout: Layout, family: Family) -> tuple[float, float]:
    """The reconstruction's weight under this family, and how far the gradients are from it."""
    points = [draw(layout, seed) for seed in (1, 2, 3)]
    return fit([loss.gradients(p)["output"] for p in points], _shapes(family, layout, points))


def identify(loss: Loss, layout: Layout, claim: str) -> Reconstruction:
    """The likelihood; `claim` is what the decoder's output is said to be, or `output` when nobody has said."""
    points = [draw(layout, seed) for seed in (1, 2, 3)]
    found = [loss.gradients(p)["output"] for p in points]
    if not any(g.any() for g in found):
        return Reconstruction(fault="not_elbo", notes=("there is no reconstruction: nothing trains the decoder",))
    families = CATEGORICALS if layout.class_axis is not None else (*LIKELIHOODS, *SLIPS)
    fits = [(fit(found, _shapes(family, layout, points)), family) for family in families]
    # Among equals the one that the claim allows: two families coincide where the data are one-hot.
    (weight, apart), family = min(fits, key=lambda f: (round(f[0][1], 5), f[1].takes not in TAKES[claim]))
    if apart > layout.tolerance:
        return _weighted_halves(found, layout, points) or _of_squared_error(found, layout, points)
    if family.mistake or family.takes not in TAKES[claim]:
        note = family.mistake or CLASHES.get(
            (claim, family.takes), f"the loss takes the decoder's {claim} for something else"
        )
        return Reconstruction(family, weight, "wrong_likelihood", (note,))
    if not _holds_everywhere(loss, layout, claim, family, weight):
        return Reconstruction(fault="not_elbo", notes=(UNKNOWN + ", though near 0 it looks like " + family.name,))
    return Reconstruction(family, weight, notes=_remarks(claim, family))


def _remarks(claim: str, family: Family) -> tuple[str, ...]:
    if claim == "logits" and family.takes == "location":
        return ("the decoder's logits are compared with the data as they are, with no sigmoid between",)
    if claim == "output" and family.takes == "logits":
        return ("the loss takes logits: with a sigmoid at the decoder's end, it would be applied twice",)
    return ()


def _holds_everywhere(loss: Loss, layout: Layout, claim: str, family: Family, weight: float) -> bool:
    """A loss such as Huber's is quadratic near 0 alone, so that a real output is tried as well."""
    if layout.output == "real" or family.takes not in ("logits", "location") or claim == "probs":
        return True
    try:
        wide, apart = weigh(loss, replace(layout, output="real"), family)
    except Exception:  # it accepts nothing outside (0, 1), so that there is nothing to hold
        return True
    return apart == float("inf") or (apart < layout.tolerance and abs(wide / weight - 1) < layout.tolerance)


def _axis(layout: Layout) -> int:
    return -1 if layout.class_axis is None else layout.class_axis


def _shapes(family: Family, layout: Layout, points: Sequence[Probe]) -> list[Tensor]:
    return [family.gradient(p["output"], one_hot(layout, p), _axis(layout)) for p in points]


def _weighted_halves(found: Sequence[Tensor], layout: Layout, points: Sequence[Probe]) -> Reconstruction | None:
    """Cross-entropy with unequal weights of ones and zeros: w x log p + v (1 - x) log(1 - p)."""
    g = torch.cat([t.double().flatten() for t in found])
    for takes, halves in HALVES.items():
        families = [Family(name="bernoulli", takes=takes, nll=lambda o, x, _, half=half: half(o, x)) for half in halves]
        columns = [torch.cat([t.double().flatten() for t in _shapes(f, layout, points)]) for f in families]
        matrix = torch.stack(columns, 1)
        if not torch.isfinite(matrix).all():
            continue
        ones, zeros = torch.linalg.lstsq(matrix, g).solution.tolist()
        if (g - matrix @ g.new_tensor([ones, zeros])).abs().max() < layout.tolerance * g.abs().max():
            note = f"ones weigh {ones / zeros:.4g} times as much as zeros: no Bernoulli likelihood is weighted so"
            return Reconstruction(families[0], zeros, "wrong_likelihood", (note,))
    return None


def _of_squared_error(found: Sequence[Tensor], layout: Layout, points: Sequence[Probe]) -> Reconstruction:
    """The gradient is (output - x) with a factor that depends on the error: its root, its logarithm, ..."""
    errors = [p["output"].double() - one_hot(layout, p).double() for p in points]
    fits = [fit([g], [e]) for g, e in zip(found, errors, strict=True)]
    if max(apart for _, apart in fits) > layout.tolerance:
        return Reconstruction(fault="not_elbo", notes=(UNKNOWN,))
    logs = [weight * e.square().sum() for (weight, _), e in zip(fits, errors, strict=True)]
    if max(logs) - min(logs) < layout.tolerance * abs(max(logs)):
        note = (
            "the reconstruction is the logarithm of the squared error: a Gaussian with its variance fitted to a batch"
        )
    else:
        note = "the reconstruction is a function of the squared error, such as its root, and no log-likelihood"
    return Reconstruction(fault="not_elbo", notes=(note,))
