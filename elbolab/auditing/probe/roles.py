"""Which argument of a loss is what: as told, or from the names, where names only narrow what behaviour then decides."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

from elbolab.auditing.probe.loss import Slot

SLOT_OF = {"logits": "output", "probs": "output", "mean": "output", "output": "output", "x": "x", "mu": "mu"}
SLOT_OF |= {"logvar": "head", "logstd": "head", "std": "head", "var": "head", "head": "head", "z": "z", "eps": "eps"}
ANY = ("output", "x", "mu", "head")  # a name that says nothing is one of these, or it has to be passed by keyword
_MOST = 48  # assignments that are tried for names which say nothing

# The first pattern that fits a name says which roles it may have.
_NAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"eps(ilon)?|noise", ("eps",)),
    (r".*logits?.*", ("logits",)),
    (r".*(prob(s|ab.*)?)", ("probs",)),
    (r".*(true|target|label|orig|ground|real|gt|input).*|x|xs|x_?in|data|img|image|images|batch|features|adj", ("x",)),
    (r".*(log_?var|log_?sig|log_?s|ln_?var|var|sigma|std|stddev|scale|_sd|_lv).*|s|lv|sd|ls", ("head",)),
    (r".*(recon|rec_|_rec|hat|decod|pred|output|generat|fake|tilde|out).*|y|x_?r|xr|rec|dec|xh|x_?prime", ("output",)),
    (r"mean|means", ("mu", "output")),
    (r".*(mu|mean|loc).*|m", ("mu",)),
    (r"z|zs|z_.*|latents?|code|codes|samples?", ("z",)),
)
_Y = re.compile(r"y|targets?|outputs?|inputs?")  # some call the data y, some the reconstruction input


@dataclass(frozen=True)
class Roles:
    """What is passed where; `output` and `head` are what the user says that they are, or just those words."""

    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    output: str = "output"
    head: str = "head"
    head_name: str = ""

    @property
    def slots(self) -> set[str]:
        given = [*self.positional, *self.named.values()]
        return {value.name for value in given if isinstance(value, Slot)}


def given(roles: Sequence[Any]) -> Roles:
    """The roles as the caller states them.

    Raises:
        ValueError: a role is missing, or there twice.
    """
    values = tuple(Slot(SLOT_OF[r]) if isinstance(r, str) and r in SLOT_OF else r for r in roles)
    slots = [value.name for value in values if isinstance(value, Slot)]
    for slot in ("output", "x"):
        if slots.count(slot) != 1:
            raise ValueError(f"roles = {tuple(roles)}: exactly one is x, and exactly one is logits, probs or mean")
    if len(slots) != len(set(slots)):
        raise ValueError(f"roles = {tuple(roles)}: each of {', '.join(sorted(set(slots)))} is there once")
    said = {SLOT_OF[r]: r for r in roles if isinstance(r, str) and r in SLOT_OF}
    return Roles(values, {}, said["output"], said.get("head", "head"))


def inferred(function: Callable[..., Any], passed: Mapping[str, Any]) -> Iterator[Roles]:
    """Every assignment that the names allow, the likeliest first.

    Raises:
        ValueError: the signature cannot be read, or has too little in it.
    """
    names = _asked(function, passed)
    options = [_options(name) for name in names]
    found = False
    for chosen in islice(product(*options), 20_000):
        slots = [SLOT_OF[role] for role in chosen]
        if len(set(slots)) == len(slots) and {"output", "x"} <= set(slots):
            found = True
            yield _assigned(names, chosen)
    if not found:
        raise ValueError(
            f"cannot tell what each argument is from {', '.join(names) or 'no arguments'}: pass what is no tensor by"
            ' keyword, and say the rest with roles, one per positional argument, as in ("probs", "x", "mu", "logvar")'
        )


def candidates(function: Callable[..., Any], passed: Mapping[str, Any]) -> list[Roles]:
    """The assignments that are worth a try."""
    return list(islice(inferred(function, passed), _MOST))


def _assigned(names: list[str], roles: Sequence[str]) -> Roles:
    said = {SLOT_OF[role]: (role, name) for role, name in zip(roles, names, strict=True)}
    named = {name: Slot(SLOT_OF[role]) for name, role in zip(names, roles, strict=True)}
    return Roles((), named, said["output"][0], "head", said.get("head", ("", ""))[1])


def _asked(function: Callable[..., Any], passed: Mapping[str, Any]) -> list[str]:
    """The parameters that need a tensor: without a default, or with None where the name is one of ours."""
    try:
        # A module's own signature is (*args, **kwargs).
        parameters = inspect.signature(getattr(function, "forward", function)).parameters.values()
    except (TypeError, ValueError):
        parameters = []
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    usable = [p for p in parameters if p.kind in kinds and p.name not in passed]
    return [p.name for p in usable if p.default is p.empty or (p.default is None and _options(p.name) != ANY)]


def _options(name: str) -> tuple[str, ...]:
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().strip("_")
    if _Y.fullmatch(plain):
        return ("x", "output") if plain.startswith(("target", "input")) else ("output", "x")
    return next((roles for pattern, roles in _NAMES if re.fullmatch(pattern, plain)), ANY)
