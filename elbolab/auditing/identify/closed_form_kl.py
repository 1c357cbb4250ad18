"""Which KL is the second half of a loss? Its gradients in mu and in the second head are held against each head's.

With b the weight, dL/dmu = b mu whatever the head, and dL/dh = b/2 (1 - 1/v) dv/dh for the variance v(h): logvar
b/2 (e^h - 1), logstd b (e^2h - 1), std b (h - 1/h), var b/2 (1 - 1/h). A fit of values would not tell them apart.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from elbolab.auditing.heads import HEADS, kl
from elbolab.auditing.identify import capacity
from elbolab.auditing.identify.fitting import fit
from elbolab.auditing.identify.kl_slips import KL_SLIPS
from elbolab.auditing.kinds import Kind
from elbolab.auditing.probe.loss import Loss, Raised
from elbolab.auditing.probe.points import Layout, Probe, draw

COUPLED = "the second term couples data or latents, as no KL to N(0, 1) does"
Value = Callable[[Probe], float]


@dataclass(frozen=True)
class Divergence:
    """`weight` times a KL under this head; `fault` is the kind of verdict that it forces, if any.

    `value` is the KL at a point, of weight 1, summed. `form` is analytic, sampled (at a given z) or drawn (at a z that
    the loss draws).
    """

    head: str | None = None
    weight: float = 0.0
    form: str = "analytic"
    fault: Kind | None = None
    notes: tuple[str, ...] = ()
    value: Value | None = None
    weigh: Callable[[Layout], float] | None = None
    centred: bool = True  # the prior's mean is 0
    slip: str = ""  # the known mistake that has the same gradients as this prior


def identify(loss: Loss, layout: Layout) -> Divergence:
    """An analytic KL, looked for where it is large, so that free bits do not hide it."""
    points = [draw(layout, seed, size=size) for seed, size in ((1, 30.0), (2, 30.0), (3, 1.0))]
    found = [loss.gradients(p) for p in points]
    if not any(g[slot].any() for g in found for slot in ("mu", "head")):
        return Divergence(fault=Kind.NOT_ELBO, notes=("there is no KL: this is a plain auto-encoder",))
    for head in HEADS:
        if matches(head, points, found, layout.tolerance):
            return _verified(loss, layout, head, points[0], found[0])
    slip = next((note for note, wrong in KL_SLIPS.items() if _is(wrong, points, found, layout.tolerance)), "")
    other = _other_prior(loss, layout)
    return replace(other, slip=slip) if other else _unknown(loss, layout, slip)


def slope(head: str, h: Tensor) -> Tensor:
    """d KL / dh."""
    v, dv = HEADS[head].at(h)
    return 0.5 * dv * (1 - 1 / v)


def matches(head: str, points: list[Probe], found: list[Probe], tolerance: float) -> bool:
    """Is dL/dh what dL/dmu = b mu makes it, element by element? b may differ between the elements."""
    expected = [g["mu"] / p["mu"] * slope(head, p["head"]) for p, g in zip(points, found, strict=True)]
    largest = max(t.abs().max() for t in (*expected, *(g["head"] for g in found)))
    apart = max((e - g["head"]).abs().max() for e, g in zip(expected, found, strict=True))
    return bool(apart <= tolerance * largest)


def weigh(loss: Loss, layout: Layout) -> float:
    """b = dL/dmu / mu where the KL is large."""
    p = draw(layout, 1, size=30.0)
    return (loss.gradients(p)["mu"] / p["mu"]).double().mean().item()


def _verified(loss: Loss, layout: Layout, head: str, point: Probe, found: Probe) -> Divergence:
    """The head's gradient over its whole domain, and one weight for all latents, if the loss is affine in the KL."""
    weights = (found["mu"] / point["mu"]).double()
    weight = weights.mean().item()
    if bent := capacity.find(loss, layout, head):
        return Divergence(head, weight, fault=Kind.CAPACITY, notes=(bent,), weigh=lambda s: weigh(loss, s))
    if (weights - weight).abs().max() > layout.tolerance * abs(weight):
        return Divergence(head, fault=Kind.WRONG_KL, notes=("the KL weighs differently between latents or data",))
    if HEADS[head].real:
        real = [draw(layout, 4, size=30.0, real_head=True)]
        if not matches(head, real, [loss.gradients(p) for p in real], layout.tolerance):
            note = f"it is the KL of a {head} in part of its range alone"
            return Divergence(head, weight, fault=Kind.WRONG_KL, notes=(note,))
    return Divergence(
        head,
        weight,
        value=lambda p: kl(head, p["mu"], p["head"]).double().sum().item(),
        weigh=lambda s: weigh(loss, s),
    )


def _other_prior(loss: Loss, layout: Layout) -> Divergence | None:
    """KL(N(mu, v) || N(m0, v0)): dL/dmu = k (mu - m0) and dL/dh = dv/dh (k - c / v) / 2, with k = c / v0."""
    a, b = (draw(layout, seed) for seed in (5, 6))
    ga, gb = loss.gradients(a), loss.gradients(b)
    k = (ga["mu"] - gb["mu"]) / (a["mu"] - b["mu"])
    m0 = a["mu"] - ga["mu"] / k
    middle = a | {"mu": 0.5 * (a["mu"] + b["mu"]), "head": b["head"]}
    straight = (loss.gradients(middle)["mu"] - k * (middle["mu"] - m0)).abs().max() < layout.tolerance * ga[
        "mu"
    ].abs().max()
    if not straight or not torch.isfinite(m0).all():
        return None
    for head in HEADS:
        c = [_strength(head, p["head"], g["head"], k) for p, g in ((a, ga), (b, gb))]
        if (c[0] - c[1]).abs().max() > layout.tolerance * c[0].abs().max() or (c[0] / k).min() <= 0:
            continue
        v0, weight = c[0] / k, c[0].double().mean().item()
        if (c[0] - weight).abs().max() > layout.tolerance * abs(weight):
            return None
        return _prior(head, weight, m0, v0, lambda s: _weight_of_other_prior(loss, s))
    return None


def _weight_of_other_prior(loss: Loss, layout: Layout) -> float:
    found = _other_prior(loss, layout)
    if found is None:
        raise Raised("the prior is another for this size")
    return found.weight


def _strength(head: str, h: Tensor, gradient: Tensor, k: Tensor) -> Tensor:
    v, dv = HEADS[head].at(h)
    return v * (k - 2 * gradient / dv)


def _prior(head: str, weight: float, m0: Tensor, v0: Tensor, weigh: Callable[[Layout], float]) -> Divergence:
    def value(p: Probe) -> float:
        v, _ = HEADS[head].at(p["head"])
        mean, var = (_one_for_all(t, p["mu"]) for t in (m0, v0))
        return 0.5 * (var.log() - v.log() + (v + (p["mu"] - mean) ** 2) / var - 1).double().sum().item()

    note = f"the prior is not N(0, 1): mean {_spread(m0)}, variance {_spread(v0)}"
    centred = bool(m0.abs().max() < 1e-4)
    return Divergence(head, weight, "analytic", Kind.OTHER_PRIOR, (note,), value, weigh, centred)


def _one_for_all(t: Tensor, like: Tensor) -> Tensor:
    """A prior's mean or variance for other shapes: one number, or one per latent, of which there are as many.

    Raises:
        Raised: there are others.
    """
    first = t.flatten(0, -2)[0]
    if (first - first[0]).abs().max() < 1e-6 * max(1.0, abs(first[0].item())):
        return first[0]
    if first.shape[-1] != like.shape[-1]:
        raise Raised("the prior has a mean or a variance of its own for every latent")
    return first


def _spread(t: Tensor) -> str:
    low, high = t.min().item(), t.max().item()
    return f"{round(low, 6):g}" if high - low < 1e-6 * max(1, abs(high)) else f"{low:.4g} to {high:.4g}"


def _unknown(loss: Loss, layout: Layout, slip: str) -> Divergence:
    """No KL under any head: one of the known mistakes, or a penalty that couples data or latents."""
    if slip:
        return Divergence(fault=Kind.WRONG_KL, notes=(slip,))
    if couples(loss, layout):
        return Divergence(fault=Kind.NOT_ELBO, notes=(COUPLED,))
    return Divergence(
        fault=Kind.UNKNOWN_KL,
        notes=(
            "the second term is no KL(q || N(0, 1)) that is known here, whatever the head: logvar, logstd, std, var",
        ),
    )


def _is(wrong: Callable[[Tensor, Tensor], Tensor], points: list[Probe], found: list[Probe], tolerance: float) -> bool:
    shapes: list[Tensor] = []
    for p in points:
        leaves = [p[slot].detach().clone().requires_grad_() for slot in ("mu", "head")]
        gradients = torch.autograd.grad(wrong(*leaves).sum(), leaves, allow_unused=True)
        shapes += [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, gradients, strict=True)]
    return fit([g[slot] for g in found for slot in ("mu", "head")], shapes)[1] < tolerance


def couples(loss: Loss, layout: Layout) -> bool:
    """Does one latent of one datum change the gradient of the others?"""
    p = draw(layout, 1)
    moved = {slot: p[slot].clone() for slot in ("mu", "head", "z")}
    for value in moved.values():
        value.view(-1)[0] += 0.7
    before, after = (loss.gradients(point) for point in (p, p | moved))
    slots = [slot for slot in moved if slot in before]
    pairs = [(before[slot].flatten()[1:], after[slot].flatten()[1:]) for slot in slots]
    return any((a - b).abs().max() > layout.tolerance * a.abs().max().clamp(min=1e-6) for a, b in pairs)
