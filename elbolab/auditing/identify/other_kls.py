"""KLs with arguments of their own: to a prior that has a mean and a head, and of categories to the uniform."""

from functools import partial

import torch
from torch import Tensor

from elbolab.auditing.heads import HEADS
from elbolab.auditing.identify.closed_form_kl import Divergence
from elbolab.auditing.identify.fitting import fit, fit_sum
from elbolab.auditing.kinds import Kind
from elbolab.auditing.probe.loss import Loss
from elbolab.auditing.probe.points import CLASSES, Layout, Probe, draw

POSTERIOR, PRIOR = ("mu", "head"), ("prior_mu", "prior_head")
BALANCED = "KL balancing: the posterior is trained with the weight {q:.4g} and the prior with {p:.4g}"


def to_given_prior(loss: Loss, layout: Layout) -> Divergence:
    """b KL(N(mu, v(h)) || N(m, w(k))), with m and k arguments as well."""
    points = [draw(layout, seed) for seed in (1, 2, 3)]
    found = [loss.gradients(p) for p in points]
    for head in HEADS:
        for other in HEADS:
            shapes = [_gradients(head, other, p) for p in points]
            weight, apart = _fit(found, shapes, (*POSTERIOR, *PRIOR))
            if apart < layout.tolerance:
                note = f"the prior is given, its second head a {other}"
                weigh = partial(_weight, loss, head, other)
                return Divergence(head, weight, notes=(note,), value=partial(_value, head, other), weigh=weigh)
            (q, one), (p, two) = (_fit(found, shapes, slots) for slots in (POSTERIOR, PRIOR))
            if max(one, two) < layout.tolerance:
                note = BALANCED.format(q=q, p=p)
                return Divergence(head, q + p, fault=Kind.GRADIENT_MISMATCH, notes=(note,))
    note = "the second term is KL(q || p) of no two normals of this posterior and this prior"
    return Divergence(fault=Kind.WRONG_KL, notes=(note,))


def _kl(head: str, other: str, mu: Tensor, h: Tensor, m: Tensor, k: Tensor) -> Tensor:
    v, w = HEADS[head].variance(h, torch), HEADS[other].variance(k, torch)
    return 0.5 * (w.log() - v.log() + (v + (mu - m) ** 2) / w - 1)


def _gradients(head: str, other: str, p: Probe) -> dict[str, Tensor]:
    leaves = {slot: p[slot].detach().clone().requires_grad_() for slot in (*POSTERIOR, *PRIOR)}
    found = torch.autograd.grad(_kl(head, other, *leaves.values()).sum(), list(leaves.values()))
    return dict(zip(leaves, found, strict=True))


def _fit(found: list[Probe], shapes: list[dict[str, Tensor]], slots: tuple[str, ...]) -> tuple[float, float]:
    return fit([g[slot] for g in found for slot in slots], [s[slot] for s in shapes for slot in slots])


def _value(head: str, other: str, p: Probe) -> float:
    return _kl(head, other, *(p[slot] for slot in (*POSTERIOR, *PRIOR))).double().sum().item()


def _weight(loss: Loss, head: str, other: str, layout: Layout) -> float:
    p = draw(layout, 1)
    return _fit([loss.gradients(p)], [_gradients(head, other, p)], (*POSTERIOR, *PRIOR))[0]


def of_categories(loss: Loss, layout: Layout) -> Divergence:
    """b sum q (log q + log K), of probabilities or of logits; what summing to 1 adds to all alike is left open."""
    points = [draw(layout, seed) for seed in (1, 2, 3)]
    found = [loss.gradients(p)["q"] for p in points]
    for name in ("probabilities", "logits"):
        shapes = [_of_q(name, p["q"]) for p in points]
        (weight, _), apart = fit_sum(found, [shapes, [torch.ones_like(s) for s in shapes]])
        if apart < layout.tolerance and weight:
            note = f"the latent is categorical, in {name}, and its prior is uniform"
            weigh = partial(_weight_of_categories, loss, name)
            return Divergence("categorical", weight, notes=(note,), value=partial(_value_of_q, name), weigh=weigh)
    return Divergence(fault=Kind.WRONG_KL, notes=("the second term is no KL of categories to the uniform",))


def _entropy(name: str, q: Tensor) -> Tensor:
    log_q = q.log() if name == "probabilities" else q.log_softmax(-1)
    return log_q.exp() * (log_q + torch.tensor(CLASSES, dtype=q.dtype).log())


def _of_q(name: str, q: Tensor) -> Tensor:
    leaf = q.detach().clone().requires_grad_()
    return torch.autograd.grad(_entropy(name, leaf).sum(), leaf)[0]


def _value_of_q(name: str, p: Probe) -> float:
    return _entropy(name, p["q"]).double().sum().item()


def _weight_of_categories(loss: Loss, name: str, layout: Layout) -> float:
    p = draw(layout, 1)
    shape = _of_q(name, p["q"])
    return fit_sum([loss.gradients(p)["q"]], [[shape], [torch.ones_like(shape)]])[0][0]
