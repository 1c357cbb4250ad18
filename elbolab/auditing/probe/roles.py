"""Which argument of a loss is what: as told, or from the names, where names only narrow what behaviour then decides."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, product
from typing import Any

from elbolab.auditing.probe.groups import grouped
from elbolab.auditing.probe.names import ANY, SLOT_OF, options
from elbolab.auditing.probe.signature import Asked, asked_of
from elbolab.auditing.probe.templates import Ones, Part, Slot, Stand, slots_in

_MOST = 48  # assignments that are tried for names which say nothing
_FREE = "free"  # a tensor that no role is left for: it is given the data's shape


@dataclass(frozen=True)
class Roles:
    """What is passed where; `output` and `head` are what the user says that they are, or just those words.

    `said` are sentences about what was taken for what.
    """

    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    output: str = "output"
    head: str = "head"
    head_name: str = ""
    said: tuple[str, ...] = ()
    output_name: str = ""
    free: tuple[str, ...] = ()  # the parameters for which no role is left

    @property
    def slots(self) -> set[str]:
        return slots_in([*self.positional, *self.named.values()])


def given(
    roles: Sequence[Any],
    function: Callable[..., Any] | None = None,
    passed: Mapping[str, Any] | None = None,
    before: tuple[Stand, ...] = (),
) -> list[Roles]:
    """The roles as the caller states them, one per argument; what else the function needs is filled in by its name.

    A role that is there twice is that of a second level, or of a prior with a mean and a head of its own: two readings.

    Raises:
        ValueError: a role is missing, or there too often.
    """
    keyword = {name: role for name, role in (passed or {}).items() if isinstance(role, str) and role in SLOT_OF}
    words = [*_words(roles), *keyword.values()]
    slots = [SLOT_OF[word] for word in words]
    modalities = slots.count("x") if slots.count("x") == slots.count("output") else 1
    for slot in ("output", "x"):
        if slots.count(slot) != max(modalities, 1) and not before and not {"mu", "head"} == set(slots):
            raise ValueError(f"roles = {tuple(roles)}: exactly one is x, and exactly one is logits, probs or mean")
    twice = {slot for slot in slots if slots.count(slot) > 1} - ({"output", "x"} if modalities > 1 else set())
    if twice and (twice != {"mu", "head"} or slots.count("mu") != slots.count("head")):
        raise ValueError(f"roles = {tuple(roles)}: each of {', '.join(sorted(set(slots)))} is there once")
    said = {SLOT_OF[word]: word for word in words}
    rest, remarks = _rest(roles, function, {**(passed or {})}, before)
    named = {**rest, **{name: Slot(SLOT_OF[role]) for name, role in keyword.items()}}
    roles = _with_masks(roles, function, passed, before)
    if modalities > 1:
        roles = _shared(roles, ("output", "x"), modalities)
    readings = [_with_prior(roles), _shared(roles, ("mu", "head"), slots.count("mu"))] if twice else [_template(roles)]
    return [
        Roles((*before, *values), named, said.get("output", "output"), said.get("head", "head"), "", remarks)
        for values in readings
    ]


def _with_masks(
    roles: Sequence[Any],
    function: Callable[..., Any] | None,
    passed: Mapping[str, Any] | None,
    before: tuple[Stand, ...],
) -> Sequence[Any]:
    """A mask is one of ones, unless its name says that it marks padding."""
    if function is None or "mask" not in roles:
        return roles
    asked = asked_of(function, passed or {}, before)
    names = dict(enumerate(asked.order))
    return [asked.named.get(names.get(i, ""), Ones()) if role == "mask" else role for i, role in enumerate(roles)]


def _rest(
    roles: Sequence[Any], function: Callable[..., Any] | None, passed: dict[str, Any], before: tuple[Stand, ...]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the parameters after those with roles are given."""
    if function is None:
        return {}, ()
    asked = asked_of(function, passed, before)
    left = {name: value for name, value in asked.named.items() if name not in asked.order[: len(roles)]}
    masks = [name for name in asked.order[: len(roles)] if isinstance(asked.named.get(name), Ones)]
    return left, tuple(said for said in asked.said if any(f"`{name}`" in said for name in (*left, *masks)))


def _template(role: Any) -> Any:
    """A role's slot, also inside tuples, lists and dictionaries; any other value as it is."""
    if isinstance(role, str) and role in ("mask", "pad"):
        return Ones(idle=role == "pad")
    if isinstance(role, str) and role in SLOT_OF:
        return Slot(SLOT_OF[role])
    if isinstance(role, (tuple, list)):
        return type(role)(_template(part) for part in role)
    return {key: _template(part) for key, part in role.items()} if isinstance(role, dict) else role


def _shared(roles: Sequence[Any], slots: tuple[str, ...], count: int) -> Any:
    """The second mu is that of another level, the second x of another modality: each has its share of the slot."""
    seen = dict.fromkeys(slots, -1)

    def numbered(template: Any) -> Any:
        if isinstance(template, Slot) and template.name in seen:
            seen[template.name] += 1
            return Part(template.name, seen[template.name], count)
        return type(template)(map(numbered, template)) if isinstance(template, (tuple, list)) else template

    return numbered(_template(tuple(roles)))


def _with_prior(roles: Sequence[Any]) -> Any:
    """The second mu and head are those of a prior."""
    seen: set[str] = set()

    def renamed(template: Any) -> Any:
        if not isinstance(template, Slot) or template.name not in ("mu", "head"):
            return template
        first = template.name not in seen
        seen.add(template.name)
        return template if first else Slot(f"prior_{template.name}")

    return tuple(map(renamed, _template(tuple(roles))))


def _words(roles: Any) -> Iterator[str]:
    if isinstance(roles, str):
        yield from (roles,) if roles in SLOT_OF else ()
    elif isinstance(roles, (tuple, list, dict)):
        for part in roles.values() if isinstance(roles, dict) else roles:
            yield from _words(part)


def divided(function: Callable[..., Any], stated: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the function has a parameter for, and what it has to ask an object for."""
    try:
        parameters = inspect.signature(getattr(function, "forward", function)).parameters
    except (TypeError, ValueError):
        return dict(stated), {}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    keywords = {name: value for name, value in stated.items() if name in parameters or takes_any}
    return keywords, {name: value for name, value in stated.items() if name not in parameters}


def inferred(
    function: Callable[..., Any], passed: Mapping[str, Any], before: tuple[Stand, ...] = ()
) -> Iterator[Roles]:
    """Every assignment that the names allow, the likeliest first.

    Raises:
        ValueError: the signature cannot be read, or has too little in it.
    """
    asked = asked_of(function, passed, before)
    found = False
    for named, output, head in grouped(asked.tensors):
        found = True
        positional, keywords = asked.filled(named)
        yield Roles(positional, keywords, output, "head", head, asked.said)
    if found:
        return
    for free in (False, True):
        choices = [(*options(name), *((_FREE,) if free else ())) for name in asked.tensors]
        for chosen in islice(product(*choices), 20_000):
            slots = [SLOT_OF[role] for role in chosen if role != _FREE]
            if len(set(slots)) == len(slots) and (asked.open or {"output", "x"} <= set(slots)):
                found = True
                yield _assigned(asked, chosen)
        if found:
            return
    slots = [SLOT_OF[options(name)[0]] for name in asked.tensors if options(name) is not ANY]
    if slots in (["mu", "head"], ["head", "mu"]) and len(asked.tensors) == 2:
        yield _assigned(asked, [options(name)[0] for name in asked.tensors])
        return
    names = ", ".join((*asked.leading_names, *asked.tensors, *asked.named)) or "no arguments"
    raise ValueError(
        f"cannot tell what each argument is from {names}: pass what is no tensor by"
        ' keyword, and say the rest with roles, one per positional argument, as in ("probs", "x", "mu", "logvar")'
    )


def candidates(function: Callable[..., Any], passed: Mapping[str, Any], before: tuple[Stand, ...] = ()) -> list[Roles]:
    """The assignments that are worth a try; `before` are the objects that stand before the arguments."""
    found = list(islice(inferred(function, passed, before), _MOST))
    # A mask may have the shape of the data, or be one number per step of them.
    return [other for one in found for other in (one, *_whole_masks(one))]


def _whole_masks(roles: Roles) -> list[Roles]:
    masks = {name: replace(value, whole=True) for name, value in roles.named.items() if isinstance(value, Ones)}
    return [replace(roles, named={**roles.named, **masks})] if masks else []


def _assigned(asked: Asked, roles: Sequence[str]) -> Roles:
    pairs = list(zip(asked.tensors, roles, strict=True))
    said = {SLOT_OF[role]: (role, name) for name, role in pairs if role != _FREE}
    named = {name: Slot("x" if role == _FREE else SLOT_OF[role]) for name, role in pairs}
    positional, named = asked.filled(named)
    output, output_name = said.get("output", ("output", ""))
    free = tuple(name for name, role in pairs if role == _FREE)
    return Roles(positional, named, output, "head", said.get("head", ("", ""))[1], asked.said, output_name, free)
