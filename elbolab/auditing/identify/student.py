"""Student's t of unknown degrees of freedom: its gradient leaves them open, and its constant tells them."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from elbolab.auditing.identify.closed_form_kl import Divergence
from elbolab.auditing.identify.reconstruction import Reconstruction
from elbolab.auditing.identify.size_weights import NEGLIGIBLE
from elbolab.auditing.probe.loss import Loss
from elbolab.auditing.probe.points import Layout, draw


def resolved(loss: Loss, layout: Layout, first: Reconstruction, second: Divergence) -> Reconstruction:
    """The likelihood with the degrees of freedom that make beta 1, if the loss then has this density's own constant.

    A gradient a (nu + 1) e / (nu s^2 + e^2) tells a (nu + 1) and nu s^2 alone; a is taken for the KL's weight.
    """
    if first.family is None or first.family.name != "student_t" or second.value is None or second.fault:
        return first
    spread = first.family.shape
    degrees = first.weight * spread / second.weight - 1 if second.weight else 0.0
    if degrees <= 0:
        return first
    family = replace(first.family, nll=_density(degrees, spread / degrees))
    exact = Reconstruction(family, second.weight, notes=(_said(degrees, spread / degrees),))
    for seed in (1, 2):
        point = draw(layout, seed)
        parts = second.weight * exact.value(layout, point), second.weight * second.value(point)
        if abs(loss.total(point).item() - sum(parts)) > NEGLIGIBLE * sum(map(abs, parts)):
            return first
    return exact


def _said(degrees: float, variance: float) -> str:
    return f"Student's t with {degrees:.4g} degrees of freedom and scale {math.sqrt(variance):.4g}"


def _density(degrees: float, variance: float) -> Callable[..., Tensor]:
    constant = math.lgamma(degrees / 2) - math.lgamma((degrees + 1) / 2) + 0.5 * math.log(degrees * math.pi * variance)

    def nll(o: Tensor, x: Tensor, _: int) -> Tensor:
        return constant + 0.5 * (degrees + 1) * torch.log1p((o - x) ** 2 / (degrees * variance))

    return nll
