"""One reading of a loss from its first call to the verdict; what is blessed is held against every other layout."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from elbolab.auditing.identify import inside, learned, reconstruction, reparameterization, second_half
from elbolab.auditing.identify.closed_form_kl import Divergence
from elbolab.auditing.identify.consistency import depends_on_unknown, drifting, followed, tangled
from elbolab.auditing.kinds import Kind
from elbolab.auditing.probe.layouts import Shapes, Unprobeable, asked, opened, taken
from elbolab.auditing.probe.loss import Loss, NoTensor, Raised
from elbolab.auditing.probe.names import END
from elbolab.auditing.probe.points import Layout
from elbolab.auditing.probe.roles import Roles
from elbolab.auditing.probe.targets import Target
from elbolab.auditing.probe.written import written_sizes
from elbolab.auditing.report.conclusion import alone, conclude, refused
from elbolab.auditing.report.verdict import Verdict

# Other forms that data and latents have: steps of a series, images; latents per step, and of an image.
DATA_FORMS: tuple[tuple[int, ...], ...] = ((7,), (7, 5), (3, 7, 5))
LATENT_FORMS: tuple[tuple[int, ...], ...] = ((3,), (6, 3), (3, 4, 5))


@dataclass(frozen=True)
class Case:
    """A loss under one assignment of its arguments."""

    target: Target
    roles: Roles
    reparameterize: Callable[..., Tensor] | None
    output: Any
    keywords: Mapping[str, Any]
    values: Mapping[str, Any]
    shapes: Shapes
    tries: int
    algebra: bool

    def loss(self) -> Loss:
        named = dict(self.roles.named) | dict(self.keywords)
        return Loss(self.target.function, self.roles.positional, named, self.output, values=self.values)


def judged(case: Case) -> Verdict:
    """The verdict on this reading.

    Raises:
        Unprobeable: no shapes and values are taken.
    """
    shapes = case.shapes if case.shapes != Shapes() else None
    wanted = case.shapes
    if wanted.z is None and (latents := case.target.latents):
        wanted = replace(wanted, z=(latents,))
    loss, layout = opened(case.loss(), case.roles, case.tries, shapes=wanted if wanted != Shapes() else None)
    if drifts := drifting(loss, layout):
        return refused(Kind.RAISES, drifts)
    roles, said = _told(case, loss, layout)
    for slot, networks in asked(loss, layout).sources.items():
        if len(networks) > 1 and slot in ("mu", "head"):
            return refused(Kind.RAISES, f"{slot} comes from several networks: {', '.join(sorted(networks))}")
    if unknown := depends_on_unknown(loss, layout, roles.free):
        return refused(Kind.RAISES, unknown)
    loss, faulty = followed(loss, layout)
    if faulty:
        return replace(refused(Kind.GRADIENT_MISMATCH, faulty, *said), head_name=roles.head_name)
    written = written_sizes(case.target.function, {**loss.named, **loss.values})
    if {"mu", "head"} <= set(loss.slots) and "output" not in loss.slots and "z" not in loss.slots:
        return replace(alone(loss, layout, roles), head_name=roles.head_name)
    verdict = _identified(loss, layout, roles, case, written)
    if verdict.is_elbo and not shapes and not loss.numeric:
        verdict = _elsewhere(verdict, loss, layout, roles, case, written)
    if case.algebra and verdict.likelihood in (None, "bernoulli"):
        from elbolab.auditing.report.residual import residual  # SymPy and the tracer take seconds to import

        stated = roles.head if roles.head != "head" else None
        read_as = stated or (verdict.head if verdict.is_elbo or verdict.kind is Kind.WEIGHTED else None)
        verdict = replace(verdict, residual=residual(loss, layout, read_as or "logvar"))
    stated_head = roles.head if roles.head != "head" else ""
    return replace(verdict, notes=(*verdict.notes, *said), head_name=roles.head_name, stated_head=stated_head)


def _told(case: Case, loss: Loss, layout: Layout) -> tuple[Roles, tuple[str, ...]]:
    """The roles with the names under which stand-ins were asked, and what was taken for what."""
    serving = asked(loss, layout)
    numbers = {name: value for name, value in serving.numbers.items() if name not in case.values}
    said = [
        f"`{name}` is taken as {'the end of its schedule' if value == END else f'{value:g}'}"
        for name, value in numbers.items()
    ]
    own = serving.slots.get("head", "head")
    roles = replace(
        case.roles,
        head_name=case.roles.head_name or (own if own != "head" else ""),
        output=serving.claims.get("output", case.roles.output),
    )
    fixed = [
        f"`{name}` is taken as the end of its schedule"
        for stand in case.target.before
        for name, value in stand.given.items()
        if type(value) is int and value == END
    ]
    return roles, tuple(dict.fromkeys((*case.target.said, *case.roles.said, *said, *fixed)))


def _identified(loss: Loss, layout: Layout, roles: Roles, case: Case, written: frozenset[int]) -> Verdict:
    first = reconstruction.identify(loss, layout, roles.output, roles.output_name)
    if first.family is None:
        loss, first, layout = _of_classes(loss, roles) or (loss, first, layout)
    if entangled := tangled(loss, layout):
        return refused(Kind.NOT_ELBO, *first.notes, entangled)
    second = second_half.identify(loss, layout, roles)
    verdict = conclude(loss, layout, first, second, _sampler(case, second, loss, layout), written)
    if verdict.is_elbo or verdict.kind is Kind.WEIGHTED:
        wrong, said = learned.fault(loss, layout, first, second, case.target.learned)
        if wrong or (said and verdict.kind in (Kind.GAUSSIAN, Kind.WEIGHTED)):  # a constant alone is left out
            kind = Kind.WRONG_LIKELIHOOD if wrong else Kind.SHIFTED
            verdict = replace(verdict, kind=kind, notes=(said, *verdict.notes))
    return verdict


def _sampler(case: Case, second: Divergence, loss: Loss, layout: Layout) -> str:
    """What is wrong with the sampler: the one that is named, what a decoder is given, or the method beside the loss."""
    if not second.head:
        return ""
    if case.reparameterize:
        return reparameterization.check(case.reparameterize, second.head)
    if faulty := inside.check(loss, layout, second.head):
        return faulty
    beside = case.target.sampler() if not loss.served else None
    try:
        return reparameterization.check(beside, second.head) if beside else ""
    except ValueError:  # it is no sampler of (mu, s) after all
        return ""


def _elsewhere(
    verdict: Verdict, loss: Loss, layout: Layout, roles: Roles, case: Case, written: frozenset[int]
) -> Verdict:
    """The same loss in the other forms of data and latents that it takes: where it is something else, it says so.

    For other data it is the graver reading that counts, unless the code beside it shows which data it is for.
    """
    other: list[tuple[Layout, Verdict]] = []
    for form in _forms(layout):
        try:
            there = taken(replace(loss, chosen=None), form)
            found = there and _identified(there, form, roles, case, written)
        except (Raised, NoTensor, Unprobeable):
            continue
        # What is no sum of the same two terms there is simply not meant for this form.
        comparable = found and (found.likelihood, found.head) == (verdict.likelihood, verdict.head)
        if found and comparable and (found.is_elbo or found.kind is Kind.WEIGHTED) and not _same(verdict, found):
            other.append((form, found))
    of_latents = [
        f"{form.said.rsplit(', latents ', 1)[-1]}: {_short(found)}"
        for form, found in other
        if form.latents != layout.latents
    ]
    if of_latents:
        note = f"that is for latents (batch, n); it is another for {'; '.join(of_latents)}"
        verdict = replace(verdict, notes=(*verdict.notes, note))
    of_data = [(form, found) for form, found in other if form.latents == layout.latents]
    said = [f"for {form.said}{_probed(form)} it is {_short(found)}" for form, found in [(layout, verdict), *of_data]]
    worst = max((found for _, found in of_data), key=lambda found: found.kind.severity, default=verdict)
    if worst.is_elbo or _flat(case.target.function):
        return replace(verdict, notes=(*verdict.notes, *said[1:]))
    hint = "say which data they are: --shape x=3x32x32 (in Python shapes={'x': (3, 32, 32)})"
    return replace(worst, notes=(*said, hint, *worst.notes))


def _probed(form: Layout) -> str:
    """The shape that the numbers are for, where there is more than one axis."""
    return f", here {' x '.join(map(str, form.datum))}," if len(form.datum) > 1 else ""


def _forms(layout: Layout) -> Iterator[Layout]:
    if layout.class_axis is None and not layout.flat_output and "data" not in layout.wired and layout.datum:
        # An axis of one number hides what is done to it.
        other = [d for d in DATA_FORMS if len(d) != len(layout.datum) or 1 in layout.datum]
        yield from (replace(layout, datum=datum) for datum in other)
    elif layout.class_axis is not None and not layout.datum:
        yield replace(layout, datum=(7,))
    if "latent" not in layout.wired:
        yield from (replace(layout, latents=z) for z in LATENT_FORMS if len(z) != len(layout.latents))


def _same(a: Verdict, b: Verdict) -> bool:
    """Is it the same but for a factor of the whole?"""
    ratios = [{k: v for k, v in verdict.reductions.items() if k in ("beta", "sigma2")} for verdict in (a, b)]
    return ratios[0] == ratios[1] and (a.is_elbo, a.likelihood, a.head) == (b.is_elbo, b.likelihood, b.head)


def _short(verdict: Verdict) -> str:
    beta = verdict.reductions.get("beta", verdict.reductions.get("sigma2", ""))
    return str(verdict.kind) + (f" ({'beta' if 'beta' in verdict.reductions else 'sigma2'} = {beta})" if beta else "")


def _flat(function: Any) -> bool:
    """Does the code around the loss have linear layers alone, so that its data are vectors?"""
    module = inspect.getmodule(inspect.unwrap(function)) if callable(function) else None
    try:
        source = inspect.getsource(module) if module else ""
    except (OSError, TypeError):
        return False
    return "Linear(" in source and "Conv" not in source and "RNN" not in source and "LSTM" not in source


def _of_classes(loss: Loss, roles: Roles) -> tuple[Loss, reconstruction.Reconstruction, Layout] | None:
    """A cross-entropy over classes also takes probabilities of the same shape, and makes something else of them."""
    try:
        trial, layout = opened(loss, roles, 60, classes=True)
        first = reconstruction.identify(trial, layout, roles.output)
    except (Unprobeable, Raised, NoTensor):
        return None
    return (trial, first, layout) if first.family else None
