"""A KL by sampling, log q(z|x) - log p(z): at a z that is given, or at one that the loss draws from known noise."""

import math
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from elbolab.auditing.heads import HEADS
from elbolab.auditing.identify.closed_form_kl import COUPLED, Divergence, couples
from elbolab.auditing.identify.fitting import fit
from elbolab.auditing.kinds import Kind
from elbolab.auditing.probe.loss import Loss
from elbolab.auditing.probe.points import Layout, Probe, draw

IN_EXPECTATION = "the KL is one draw of log q(z|x) - log p(z): exact in expectation, noisier than the closed form"
PATH = "log q holds mu and the head fixed (sticking the landing): the gradient along z is exact in expectation"
STEP = 1 / 16
BENT = "the sampled KL's weight changes with its size (capacity, free bits)"
SEEDS = range(100, 120)  # of the draws whose moments are checked


def _density(head: str, mu: Tensor, h: Tensor, z: Tensor) -> Tensor:
    """log N(z; mu, v(h)) without its 2 pi."""
    v = HEADS[head].variance(h, torch)
    return -0.5 * (v.log() + (z - mu) ** 2 / v)


def _gradients(head: str, p: Probe, prior: float) -> list[Tensor]:
    leaves = [p[slot].detach().clone().requires_grad_() for slot in ("mu", "head", "z")]
    value = _density(head, *leaves) + prior * 0.5 * leaves[2] ** 2
    return list(torch.autograd.grad(value.sum(), leaves))


def far(layout: Layout) -> Probe:
    """Where log q(z) - log p(z) is large, so that no free bits hide it."""
    p = draw(layout, 9)
    return p | {"z": 10 * p["z"]}


def at_given_z(loss: Loss, layout: Layout) -> Divergence:
    """b (log q(z) - log p(z)), pointwise: its gradients in mu, the head and z are known at any z."""
    points = [*(draw(layout, seed, size=size) for seed, size in ((1, 1.0), (2, 3.0), (3, 1.0))), far(layout)]
    found = [loss.gradients(p) for p in points]
    listed = [g[slot] for g in found for slot in ("mu", "head", "z")]
    for head in HEADS:
        weight, apart = fit(listed, [s for p in points for s in _gradients(head, p, 1.0)])
        if apart < layout.tolerance:
            note = PATH if loss.numeric else IN_EXPECTATION
            if bent := _bent(loss, layout, head, weight):
                return Divergence(head, weight, "sampled", Kind.CAPACITY, (note, bent))
            return Divergence(
                head,
                weight,
                "sampled",
                notes=(note,),
                value=partial(_value, head),
                weigh=partial(_weight, loss, head=head),
            )
    return _per_datum(points, found, layout) or _another_prior(loss, points, found, layout)


def _bent(loss: Loss, layout: Layout, head: str, weight: float) -> str:
    """Is the weight another where log q(z) - log p(z) is about 0, or large?"""
    for size in (1e-2, 100.0):
        p = draw(layout, 8, size=size)
        p["head"] = HEADS[head].neutral + 0.3 * min(size, 1) * p["eps"].sigmoid()
        p["z"] = p["mu"] + HEADS[head].at(p["head"])[0].sqrt() * p["eps"]
        found = loss.gradients(p)
        factor, apart = fit([found[slot] for slot in ("mu", "head", "z")], _gradients(head, p, 1.0))
        if apart > layout.tolerance or abs(factor / weight - 1) > 10 * layout.tolerance:
            return BENT
    return ""


def _per_datum(points: list[Probe], found: list[Probe], layout: Layout) -> Divergence | None:
    """The right shape with another weight for every datum: the sampled KL of a datum is cut, or bent."""
    for head in HEADS:
        shapes = [torch.cat(_gradients(head, p, 1.0), -1).flatten(0, -2) for p in points]
        gradients = [torch.cat([g[slot] for slot in ("mu", "head", "z")], -1).flatten(0, -2) for g in found]
        g, s = torch.cat(gradients), torch.cat(shapes)
        factors = (g * s).sum(1, keepdim=True) / (s * s).sum(1, keepdim=True)
        if (g - factors * s).abs().max() < layout.tolerance * g.abs().max():
            return Divergence(head, factors.max().item(), "sampled", Kind.CAPACITY, (BENT,))
    return None


def _value(head: str, p: Probe) -> float:
    return (_density(head, p["mu"], p["head"], p["z"]) + 0.5 * p["z"] ** 2).double().sum().item()


def _weight(loss: Loss, layout: Layout, head: str) -> float:
    p = draw(layout, 1)
    g = loss.gradients(p)
    return fit([g[slot] for slot in ("mu", "head", "z")], _gradients(head, p, 1.0))[0]


def _another_prior(loss: Loss, points: list[Probe], found: list[Probe], layout: Layout) -> Divergence:
    """log q is right; what is left of the gradient in z says which log p is there."""
    for head in HEADS:
        shapes = [_gradients(head, p, 0.0) for p in points]
        weight, apart = fit([g[s] for g in found for s in ("mu", "head")], [s for q in shapes for s in q[:2]])
        if apart > layout.tolerance:
            continue
        rest = [g["z"] - weight * q[2] for g, q in zip(found, shapes, strict=True)]
        if max(r.abs().max() for r in rest) < layout.tolerance * abs(weight):
            return Divergence(head, weight, "sampled", Kind.WRONG_KL, ("log q(z|x) is there, log p(z) is not",))
        share, apart = fit(rest, [p["z"] for p in points])
        if apart < layout.tolerance:
            note = f"log p(z) weighs {share / weight:.6g} times as much as log q(z|x), or the prior's variance is not 1"
            if share * weight < 0:
                return Divergence(head, weight, "sampled", Kind.WRONG_KL, (note,))
            return _of_variance(head, weight, weight / share, note)
        return Divergence(head, weight, "sampled", Kind.OTHER_PRIOR, ("log p(z) is not that of N(0, 1)",))
    if couples(loss, layout):
        return Divergence(form="sampled", fault=Kind.NOT_ELBO, notes=(COUPLED,))
    return Divergence(
        form="sampled", fault=Kind.UNKNOWN_KL, notes=("log q(z|x) is that of no normal that is known here",)
    )


def _of_variance(head: str, weight: float, v0: float, note: str) -> Divergence:
    """log q(z) - log N(z; 0, v0), if its constant is there too; without it, log p(z) has a weight of its own."""

    def value(p: Probe) -> float:
        log_p = -0.5 * (math.log(v0) + p["z"] ** 2 / v0)
        return (_density(head, p["mu"], p["head"], p["z"]) - log_p).double().sum().item()

    return Divergence(head, weight, "sampled", Kind.OTHER_PRIOR, (note,), value, lambda s: weight, slip=note)


def at_drawn_z(loss: Loss, layout: Layout) -> Divergence:
    """The same where the loss draws z = mu + sigma(h) e itself, from the same generator state at every probe.

    dL/dmu = k (mu + sigma(h) mean e) and dL/dh = k [-v'/2v + sigma' (mu mean e + sigma mean e^2)] over the draws of
    one call, so that two probes give the mean of e and of e^2, and all others must give the same.
    """
    for head in HEADS:
        first, second = (_noise(loss, layout, head, seed) for seed in (1, 2))
        size = max(t.abs().max() for t in first)
        k = _factor(loss, _fixed(layout, 1), 0)
        if (k - k.mean()).abs().max() > layout.tolerance * k.mean().abs():
            break
        if not max((a - b).abs().max() for a, b in zip(first, second, strict=True)) <= 10 * layout.tolerance * size:
            continue
        weight = _drawn_weight(loss, layout)
        sizes = [_drawn_weight(loss, layout, size) for size in (1e-2, 30.0)]
        if any(abs(other / weight - 1) > 10 * layout.tolerance for other in sizes):
            return Divergence(head, weight, "drawn", Kind.CAPACITY, (BENT,))
        note = _moments(loss, layout, head)
        return Divergence(
            head,
            weight,
            "drawn",
            Kind.WRONG_SAMPLER if note else None,
            (note or IN_EXPECTATION,),
            value=partial(_drawn_value, loss, head, layout=layout),
            weigh=lambda s: _drawn_weight(loss, s),
        )
    return _mismatched(loss, layout)


def _fixed(layout: Layout, seed: int, noise: int = 0) -> Probe:
    """Other mu and h with the same noise, where it is an argument."""
    return draw(layout, seed) | {"eps": draw(layout, 50 + noise)["eps"]}


def _factor(loss: Loss, p: Probe, seed: int) -> Tensor:
    """k: the slope of dL/dmu in mu."""
    up = p | {"mu": p["mu"] + STEP}
    return (loss.gradients(up, seed)["mu"] - loss.gradients(p, seed)["mu"]) / STEP


def _solved(loss: Loss, head: str, p: Probe, seed: int) -> tuple[Tensor, Tensor]:
    """The means of e and of e^2 that this call used, if the head is right."""
    k, g = _factor(loss, p, seed), loss.gradients(p, seed)
    v, dv = HEADS[head].at(p["head"])
    sigma = v.sqrt()
    e = (g["mu"] / k - p["mu"]) / sigma
    squared = ((g["head"] / k + 0.5 * dv / v) / (0.5 * dv / sigma) - p["mu"] * e) / sigma
    return e, squared


def _noise(loss: Loss, layout: Layout, head: str, draw_seed: int) -> tuple[Tensor, Tensor]:
    return _solved(loss, head, _fixed(layout, draw_seed), seed=0)


def _drawn_weight(loss: Loss, layout: Layout, size: float = 1.0) -> float:
    p = _fixed(layout, 1)
    return _factor(loss, p | {"mu": size * p["mu"]}, 0).double().mean().item()


def _drawn_value(loss: Loss, head: str, p: Probe, layout: Layout) -> float:
    e, squared = _solved(loss, head, p, 0)
    v, _ = HEADS[head].at(p["head"])
    value = -0.5 * v.log() - 0.5 * squared + 0.5 * (p["mu"] ** 2 + 2 * p["mu"] * v.sqrt() * e + v * squared)
    return value.double().sum().item()


def _moments(loss: Loss, layout: Layout, head: str) -> str:
    """What is wrong with the noise, if anything: its mean is 0, its variance 1, its fourth moment 3 for one draw."""
    wide = layout if "batch" in layout.wired else replace(layout, batch=400)
    pairs = [_solved(loss, head, _fixed(wide, seed, seed), seed) for seed in SEEDS]
    e, squared = (torch.cat([pair[i].double().flatten() for pair in pairs]) for i in (0, 1))
    count = len(e)
    if abs(e.mean()) > 6 / count**0.5:
        return f"the noise has mean {e.mean():.3g}, not 0"
    if abs(squared.mean() - 1) > 6 * (2 / count) ** 0.5:
        return f"the noise has standard deviation {squared.mean().sqrt():.4g}, not 1"
    if (
        layout.latent > 1
        and abs(sum((pair[0][..., 0] * pair[0][..., 1]).mean().item() for pair in pairs)) / len(pairs)
        > 6 / (count / layout.latent) ** 0.5
    ):
        return "the same noise is used for several latents of a datum"
    single = (squared - e**2).abs().max() < 1e-3
    if single and abs((e**4).mean() - 3) > 6 * (96 / count) ** 0.5:
        return f"the noise is not normal: its kurtosis is {(e**4).mean():.3g}, not 3"
    return ""


def _mismatched(loss: Loss, layout: Layout) -> Divergence:
    """z is drawn with the standard deviation of one head, and log q is that of another."""
    points = [_fixed(layout, seed) for seed in (1, 2)]
    found = [loss.gradients(p) for p in points]
    ks = [_factor(loss, p, 0) for p in points]
    pairs = [(drawn, charged) for drawn in HEADS for charged in HEADS if drawn != charged]
    for drawn, charged in pairs:
        shapes = [_crossed(drawn, charged, p, g["mu"] / k - p["mu"]) for p, g, k in zip(points, found, ks, strict=True)]
        weight, apart = fit([g["head"] for g in found], shapes)
        if apart < layout.tolerance:
            note = f"z is drawn as if the head were {drawn}, and log q reads it as {charged}"
            return Divergence(charged, weight, "drawn", Kind.WRONG_SAMPLER, (note,))
    return Divergence(
        form="drawn",
        fault=Kind.UNKNOWN_KL,
        notes=("the loss draws noise, and holds no log q(z|x) - log p(z) that is known here",),
    )


def _crossed(drawn: str, charged: str, p: Probe, u: Tensor) -> Tensor:
    """d/dh of log N(z; mu, v) - log N(z; 0, 1) along z = mu + tau(h) e, where u = tau(h) e is known."""
    h = p["head"].detach().clone().requires_grad_()
    tau = HEADS[drawn].variance(h, torch).sqrt()
    z = p["mu"] + tau * (u / tau.detach())
    return torch.autograd.grad((_density(charged, p["mu"], h, z) + 0.5 * z**2).sum(), h)[0]
