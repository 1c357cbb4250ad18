"""Which ELBO is this loss, if any? Probed with numbers, identified by its gradients; nobody reads its source."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from elbolab.auditing.identify import closed_form_kl, reconstruction, reparameterization, sampled_kl
from elbolab.auditing.identify.closed_form_kl import Divergence
from elbolab.auditing.probe import roles as naming
from elbolab.auditing.probe.layouts import Unprobeable, opened
from elbolab.auditing.probe.loss import Loss, Raised, callers_state_kept
from elbolab.auditing.probe.points import Layout, draw
from elbolab.auditing.probe.roles import Roles
from elbolab.auditing.report.conclusion import conclude, refused
from elbolab.auditing.report.verdict import KINDS, Verdict

STEPS = (1e-5, 1e-3, 1e-2)  # of the finite differences
# Names under which nobody is surprised to find a head.
_USUAL = {
    "logvar": r".*(log_?_?var|log_?sigma_?(2|sq)|lnvar|_lv).*|lv",
    "logstd": r".*log_?_?(std|sigma|sd|scale)",
    "std": r"(?!.*log).*(std|sigma|sd|scale).*",
    "var": r"(?!.*log).*var.*",
}


def audit(
    loss: Callable[..., Any],
    roles: Sequence[Any] | None = None,
    reparameterize: Callable[..., Tensor] | None = None,
    output: Any = None,
    *,
    algebra: bool = False,
    **kwargs: Any,
) -> Verdict:
    """Says which ELBO a loss is, in nats: loss = scale (-log p(x|z) + beta KL(q(z|x) || N(0, 1))) + offset.

    Args:
        loss: any function of tensors, shapes (batch, ...), that returns a scalar, one value per datum, parts of a
            sum, a total and its parts, or a dictionary with `loss`.
        roles: one per positional argument: x, logits, probs or mean (the decoder's output), mu, logvar, logstd, std or
            var, z, eps; anything else is passed through. Without roles, the names and the behaviour decide.
        reparameterize: the function that draws z from (mu, s), to be checked against the KL.
        output: an index or a key of what the loss returns, or a function of it.
        algebra: also say in closed form what the loss differs from BCE + KL by, where it can be traced.
        kwargs: passed to the loss.

    Raises:
        ValueError: the roles are incomplete or cannot be told; the loss returns no tensor; reparameterize raises.
    """
    with callers_state_kept():
        options = [naming.given(roles)] if roles is not None else naming.candidates(loss, kwargs)
        verdicts = []
        for option, tries in _attempts(options):
            verdicts.append(_audited(loss, option, reparameterize, output, kwargs, tries, algebra))
            if verdicts[-1].is_elbo:
                break
    # The reading under which the loss makes most sense.
    return min(verdicts, key=lambda verdict: list(KINDS).index(verdict.kind))


def _attempts(options: Sequence[Roles]) -> list[tuple[Roles, int]]:
    """Where names leave a choice, a wrong one raises for every shape: only the likeliest is tried with all of them."""
    return [(options[0], 400), *((option, 40) for option in options[1:])]


def _audited(
    function: Callable[..., Any],
    roles: Roles,
    reparameterize: Callable[..., Tensor] | None,
    output: Any,
    kwargs: dict[str, Any],
    tries: int,
    algebra: bool,
) -> Verdict:
    loss = Loss(function, roles.positional, dict(roles.named) | kwargs, output)
    try:
        layout = opened(loss, roles, tries)
        verdict = _judged(loss, layout, roles, reparameterize)
    except (Unprobeable, Raised) as error:
        return refused("raises", str(error))
    if algebra and verdict.likelihood in (None, "bernoulli"):
        from elbolab.auditing.report.residual import residual  # SymPy and the tracer take seconds to import

        stated = roles.head if roles.head != "head" else None
        read_as = stated or (verdict.head if verdict.is_elbo or verdict.kind == "weighted" else None)
        return replace(verdict, residual=residual(loss, layout, read_as or "logvar"))
    return verdict


def _judged(loss: Loss, layout: Layout, roles: Roles, reparameterize: Callable[..., Tensor] | None) -> Verdict:
    if faulty := _mismatched(loss, layout):
        return refused("gradient_mismatch", faulty)
    first = reconstruction.identify(loss, layout, roles.output)
    if first.family is None:
        first, layout = _of_classes(loss, roles) or (first, layout)
    if tangled := _tangled(loss, layout):
        return refused("not_elbo", *first.notes, tangled)
    second = _second(loss, layout, roles)
    wrong = ""
    if reparameterize and second.head:
        wrong = reparameterization.check(reparameterize, second.head)
    return conclude(loss, layout, first, second, wrong)


def _of_classes(loss: Loss, roles: Roles) -> tuple[reconstruction.Reconstruction, Layout] | None:
    """A cross-entropy over classes also takes probabilities of the same shape, and makes something else of them."""
    trial = replace(loss)
    try:
        layout = opened(trial, roles, 60, classes=True)
        first = reconstruction.identify(trial, layout, roles.output)
    except (Unprobeable, Raised):
        return None
    if first.family is None:
        return None
    loss.chosen = trial.chosen
    return first, layout


def _mismatched(loss: Loss, layout: Layout) -> str:
    """Autograd against finite differences along random directions."""
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
            loss.numeric = trial.numeric
            return ""
    return "; ".join(
        f"in {slot}, autograd says {a:.4g} and finite differences {b:.4g}" for slot, (a, b, _) in apart.items()
    )


def _agree(by_autograd: float, by_hand: float, room: float) -> bool:
    return abs(by_hand - by_autograd) <= 2e-3 * max(abs(by_hand), abs(by_autograd)) + room


def _tangled(loss: Loss, layout: Layout) -> str:
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


def _second(loss: Loss, layout: Layout, roles: Roles) -> Divergence:
    """The KL, in the form that it has here."""
    if not {"mu", "head"} <= set(loss.slots):
        return Divergence(fault="not_elbo", notes=("there is no KL: it takes a mean and a second head",))
    point = draw(layout, 1)
    found, again = loss.gradients(point), loss.gradients(point, seed=1)
    if not torch.equal(found["output"], again["output"]):
        return Divergence(fault="not_elbo", notes=("the reconstruction is random: noise is added to it",))
    if "z" in found and any(loss.gradients(p)["z"].any() for p in (point, sampled_kl.far(layout))):
        second = sampled_kl.at_given_z(loss, layout)
    elif not torch.equal(found["mu"], again["mu"]) or ("eps" in found and found["eps"].any()):
        second = sampled_kl.at_drawn_z(loss, layout)
    else:
        second = closed_form_kl.identify(loss, layout)
    return _named(second, roles)


def _named(second: Divergence, roles: Roles) -> Divergence:
    """Is the head what it is said to be? A statement counts; a parameter's name is only remarked on."""
    if second.head and roles.head not in ("head", second.head) and not second.fault:
        note = f"the second head is said to be a {roles.head}, and the KL charges it as a {second.head}"
        return replace(second, fault="wrong_kl", notes=(*second.notes, note))
    if second.head and roles.head_name:
        note = f"`{roles.head_name}` is charged as a {second.head}: the encoder has to mean that by it"
        lies = not re.fullmatch(_USUAL.get(second.head, "softplus.*"), roles.head_name.lower())
        return replace(second, notes=(*second.notes, note)) if lies else second
    return second
