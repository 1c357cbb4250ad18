"""What has to hold before anything is identified: autograd follows the loss, and its two halves are a sum."""

from dataclasses import replace

import torch

from elbolab.auditing.identify import other_kls, sampled_kl
from elbolab.auditing.kinds import Kind
from elbolab.auditing.probe.loss import Loss
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
    said = (f"in {slot}, autograd says {a:.4g} and finite differences {b:.4g}" for slot, (a, b, _) in apart.items())
    return loss, "; ".join(said)


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
