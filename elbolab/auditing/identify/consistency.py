"""What has to hold before anything is identified: autograd follows the loss, and its two halves are a sum."""

import math
from dataclasses import replace

import torch

from elbolab.auditing.identify import other_kls, sampled_kl
from elbolab.auditing.kinds import Kind
from elbolab.auditing.probe.loss import Loss, Raised
from elbolab.auditing.probe.points import Layout, draw

STEPS = (1e-5, 1e-3, 1e-2)  # of the finite differences


def followed(loss: Loss, layout: Layout) -> tuple[Loss, str]:
    """Autograd against finite differences along random directions: the loss, and where they differ."""
    generator = torch.Generator().manual_seed(0)
    apart = {}
    for seed, size in ((1, 1.0), (2, 6.0)):
        point = draw(layout, seed, size=size)
        level = loss.total(point).item()
        # A loss may compute in float32 whatever it is given: then its rounding is what a small step sees.
        rounding = abs(level) * (1e-15 if level != torch.tensor(level).float().item() else 1e-7)
        for slot, gradient in loss.gradients(point).items():
            direction = torch.randn(gradient.shape, generator=generator, dtype=torch.float64).to(gradient.dtype)
            by_autograd = (gradient * direction).sum().item()
            slopes = {step: loss.slope(point, slot, direction, step=step).item() for step in STEPS}
            if not any(_agree(by_autograd, slope, rounding / step) for step, slope in slopes.items()):
                apart[slot] = (by_autograd, slopes[STEPS[-1]], not gradient.any())
    if apart and "z" in loss.slots and set(apart) <= {"mu", "head"} and all(dead for *_, dead in apart.values()):
        # log q with its parameters held fixed: a path derivative, if it is otherwise a sampled KL.
        trial = replace(loss, numeric=("mu", "head"))
        if not sampled_kl.at_given_z(trial, layout).fault:
            return trial, ""
    if apart and {"prior_mu", "prior_head"} <= set(loss.slots):
        second = other_kls.to_given_prior(loss, layout)
        if second.fault is Kind.GRADIENT_MISMATCH:
            return loss, second.notes[0]
    return loss, _mismatch(apart) if apart else ""


def _mismatch(apart: dict[str, tuple[float, float, bool]]) -> str:
    """In words: no gradient, a share of it that is the same everywhere, or another one."""
    words = {"head": "the second head", "output": "the decoder's output"}
    names = {slot: words.get(slot, slot) for slot in apart}
    if dead := [names[slot] for slot, (*_, none) in apart.items() if none]:
        return f"the loss changes with {' and '.join(dead)}, and no gradient comes from there"
    shares = [a / b if b else math.inf for a, b, _ in apart.values()]
    if math.isfinite(sum(shares)) and max(shares) - min(shares) < 1e-3 * abs(shares[0]):
        where = " and ".join(names.values())
        return (
            f"the gradient in {where} is {shares[0]:.4g} times the slope of the loss: the rest of the term is detached"
        )
    said = (f"in {names[slot]} it is {a:.4g} instead of {b:.4g}" for slot, (a, b, _) in apart.items())
    return f"the gradient is not the slope of the loss: {', '.join(said)}"


def _agree(by_autograd: float, by_hand: float, room: float) -> bool:
    return abs(by_hand - by_autograd) <= 2e-3 * max(abs(by_hand), abs(by_autograd)) + room


def tangled(loss: Loss, layout: Layout) -> str:
    """A sum of two terms has a reconstruction gradient that the encoder does not change, and the other way round."""
    point, other = draw(layout, 1), draw(layout, 2)
    encoder = {slot: other[slot] for slot in ("mu", "head", "z", "eps")}
    for slot, moved in (("output", encoder), ("mu", {"output": other["output"]}), ("z", {"output": other["output"]})):
        if slot not in loss.slots:
            continue
        before, after = (loss.gradients(p)[slot] for p in (point, point | moved))
        if (before - after).abs().max() > layout.tolerance * before.abs().max():
            return "the two halves are entangled: each one's gradient depends on the other, as in importance weights"
    return ""


def depends_on_unknown(loss: Loss, layout: Layout, free: tuple[str, ...]) -> str:
    """A loss that changes with an argument whose role nobody knows is not to be judged."""
    point = draw(layout, 1)
    for name in free:
        other = replace(loss, named={**loss.named, name: 0.7 * point["x"].flip(0) + 0.1})
        try:
            if other.total(point) == loss.total(point):
                continue
        except Raised:
            pass
        return f"the loss depends on `{name}`, and its name does not say what it is: say it with roles"
    return ""


def drifting(loss: Loss, layout: Layout) -> str:
    """A loss that keeps state says something else at each call of the same."""
    point = draw(layout, 1)
    first, second, third = (loss.total(point).item() for _ in range(3))
    if first == second == third:
        return ""
    for _ in range(200):  # a schedule that ends soon has an end to be judged
        second, third = third, loss.total(point).item()
        if second == third == loss.total(point).item():
            return ""
    return f"called again with the same numbers and noise it says {second:.6g}, then {third:.6g}: it keeps state"
