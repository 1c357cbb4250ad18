"""Which ELBO is this loss, if any? Probed with numbers, identified by its gradients; names narrow the search."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from elbolab.auditing.judge import Case, judged
from elbolab.auditing.kinds import Kind
from elbolab.auditing.probe import roles as naming
from elbolab.auditing.probe.guard import LIMIT, TimeUp, callers_state_kept, guarded, time_limited
from elbolab.auditing.probe.layouts import Shapes, Unprobeable
from elbolab.auditing.probe.loss import Raised
from elbolab.auditing.probe.roles import Roles
from elbolab.auditing.probe.targets import Target, bound, target_of
from elbolab.auditing.report.conclusion import refused
from elbolab.auditing.report.verdict import Verdict


def audit(
    loss: Callable[..., Any],
    roles: Sequence[Any] | None = None,
    reparameterize: Callable[..., Tensor] | None = None,
    output: Any = None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    algebra: bool = False,
    time_limit: float = LIMIT,
    **kwargs: Any,
) -> Verdict:
    """Says which ELBO a loss is, in nats: loss = scale (-log p(x|z) + beta KL(q(z|x) || N(0, 1))) + offset.

    Args:
        loss: any function of tensors, shapes (batch, ...), that returns a scalar, one value per datum, parts of a
            sum, a total and its parts, or a dictionary with `loss`; also a method, a class, or a module, whose
            networks are stood in for: what its encoder and its decoder return is probed in their place.
        roles: one per positional argument: x, logits, probs or mean (the decoder's output), mu, logvar, logstd, std or
            var, z, eps; tuples and dictionaries of these; anything else is passed through. Without roles, the names
            and the behaviour decide.
        reparameterize: the function, or the method, that draws z from (mu, s), to be checked against the KL.
        output: an index or a key of what the loss returns, or a function of it.
        shapes: those of a datum, x, and of its latents, z, without the batch: {"x": (3, 32, 32), "z": (128,)}.
        algebra: also say in closed form what the loss differs from BCE + KL by, where it can be traced.
        time_limit: seconds, after which the audit is given up.
        kwargs: passed to the loss, or given to it where it asks for an attribute of that name.

    Raises:
        ValueError: the roles are incomplete or cannot be told; the loss returns no tensor; reparameterize raises.
    """
    said = Shapes(**{axis: tuple(shape) for axis, shape in (shapes or {}).items()})
    with callers_state_kept():
        try:
            with time_limited(time_limit):
                with guarded():
                    target = target_of(loss)
                return _best(target, roles, reparameterize, output, kwargs, said, algebra)
        except TimeUp as error:
            return refused(Kind.RAISES, str(error))


def _best(
    target: Target,
    roles: Sequence[Any] | None,
    reparameterize: Callable[..., Tensor] | None,
    output: Any,
    kwargs: dict[str, Any],
    shapes: Shapes,
    algebra: bool,
) -> Verdict:
    """The reading under which the loss makes most sense."""
    options = (
        naming.given(roles, target.function, kwargs, target.before)
        if roles is not None
        else naming.candidates(target.function, kwargs, target.before)
    )
    kwargs = {k: v for k, v in kwargs.items() if not (roles is not None and isinstance(v, str) and v in naming.SLOT_OF)}
    # A stated attribute goes to what stands in; the function itself is passed what it has a parameter for.
    keywords, values = naming.divided(target.function, kwargs)
    if reparameterize is not None:
        owner = target_of(reparameterize)
        reparameterize = bound(owner.function, owner.before[0]) if owner.before else owner.function
    verdicts: list[Verdict] = []
    for option, tries in _attempts(options):
        case = Case(target, option, reparameterize, output, keywords, values, shapes, tries, algebra)
        verdicts.append(_judged(case))
        if verdicts[-1].is_elbo:
            break
    return min(verdicts, key=lambda verdict: verdict.kind.severity)


def _attempts(options: Sequence[Roles]) -> list[tuple[Roles, int]]:
    """Where names leave a choice, a wrong one raises for every shape: only the likeliest is tried with all of them."""
    return [(options[0], 600), *((option, 60) for option in options[1:])]


def _judged(case: Case) -> Verdict:
    try:
        return judged(case)
    except (Unprobeable, Raised) as error:
        return refused(Kind.RAISES, str(error))
