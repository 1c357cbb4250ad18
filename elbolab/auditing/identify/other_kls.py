"""KLs with arguments of their own: to a prior that has a mean and a head, and of categories to the uniform."""

from collections.abc import Callable
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
TURNED = "it is KL(p || q), the wrong way round: q(z|x) comes first, the prior second"
Measure = Callable[..., Tensor]
BALANCED = "KL balancing: {q:.4g} of the KL trains the posterior and {p:.4g} the prior"


def to_given_prior(loss: Loss, layout: Layout) -> Divergence:
    """b KL(N(mu, v(h)) || N(m, w(k))), with m and k arguments as well."""
    points = [draw(layout, seed) for seed in (1, 2, 3)]
    found = [loss.gradients(p) for p in points]
    for head in HEADS:
        for other in HEADS:
            shapes = [_slopes(partial(_kl, head, other), p) for p in points]
            weight, apart = _fit(found, shapes, (*POSTERIOR, *PRIOR))
            turned = [_slopes(partial(_turned, head, other), p) for p in points]
            if _fit(found, turned, (*POSTERIOR, *PRIOR))[1] < layout.tolerance:
                return Divergence(head, fault=Kind.WRONG_KL, notes=(TURNED,))
            if apart < layout.tolerance:
                note = f"the prior is given, its second head a {other}"
                weigh = partial(_weight, loss, head, other)
                return Divergence(
                    head, weight, notes=(note,), value=partial(_at, partial(_kl, head, other)), weigh=weigh
                )
            (q, one), (p, two) = (_fit(found, shapes, slots) for slots in (POSTERIOR, PRIOR))
            if max(one, two) < layout.tolerance:
                note = BALANCED.format(q=q / (q + p), p=p / (q + p))
                return Divergence(head, q + p, fault=Kind.GRADIENT_MISMATCH, notes=(note,))
    if product := _of_experts(loss, points, found, layout):
        return product
    note = "the second term is KL(q || p) of no two normals of this posterior and this prior"
    return Divergence(fault=Kind.UNKNOWN_KL, notes=(note,))


def _kl(head: str, other: str, mu: Tensor, h: Tensor, m: Tensor, k: Tensor) -> Tensor:
    v, w = HEADS[head].variance(h, torch), HEADS[other].variance(k, torch)
    return 0.5 * (w.log() - v.log() + (v + (mu - m) ** 2) / w - 1)


def _turned(head: str, other: str, mu: Tensor, h: Tensor, m: Tensor, k: Tensor) -> Tensor:
    return _kl(other, head, m, k, mu, h)


def _of_experts(loss: Loss, points: list[Probe], found: list[Probe], layout: Layout) -> Divergence | None:
    """b KL(q || N(0, 1)) with q the product of both normals, and of N(0, 1) too where it is an expert."""
    for head in HEADS:
        for prior, said in ((1.0, "two experts and the prior"), (0.0, "two experts")):
            measure = partial(_expert_kl, head, prior)
            weight, apart = _fit(found, [_slopes(measure, p) for p in points], (*POSTERIOR, *PRIOR))
            if apart < layout.tolerance:

                def weigh(at: Layout, measure: Measure = measure) -> float:
                    p = draw(at, 1)
                    return _fit([loss.gradients(p)], [_slopes(measure, p)], (*POSTERIOR, *PRIOR))[0]

                note = f"q is the product of {said}, each with a {head}"
                return Divergence(head, weight, notes=(note,), value=partial(_at, measure), weigh=weigh)
    return None


def _expert_kl(head: str, prior: float, mu: Tensor, h: Tensor, m: Tensor, k: Tensor) -> Tensor:
    a, b = (1 / HEADS[head].variance(second, torch) for second in (h, k))
    v = 1 / (prior + a + b)
    return 0.5 * (((mu * a + m * b) * v) ** 2 + v - 1 - v.log())


def _slopes(measure: Measure, p: Probe) -> dict[str, Tensor]:
    leaves = {slot: p[slot].detach().clone().requires_grad_() for slot in (*POSTERIOR, *PRIOR)}
    found = torch.autograd.grad(measure(*leaves.values()).sum(), list(leaves.values()))
    return dict(zip(leaves, found, strict=True))


def _at(measure: Measure, p: Probe) -> float:
    return measure(*(p[slot] for slot in (*POSTERIOR, *PRIOR))).double().sum().item()


def _fit(found: list[Probe], shapes: list[dict[str, Tensor]], slots: tuple[str, ...]) -> tuple[float, float]:
    return fit([g[slot] for g in found for slot in slots], [s[slot] for s in shapes for slot in slots])


def _weight(loss: Loss, head: str, other: str, layout: Layout) -> float:
    p = draw(layout, 1)
    return _fit([loss.gradients(p)], [_slopes(partial(_kl, head, other), p)], (*POSTERIOR, *PRIOR))[0]


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
