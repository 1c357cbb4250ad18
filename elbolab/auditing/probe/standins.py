"""Objects that stand in for what a loss is given and no numbers are known of: `self`, networks, dictionaries, batches.

A stand-in is asked for an attribute, a key, a call or a part of a tuple, and answers by the name: `mu` is the probe's
mean, `beta` a number, `self.encoder(x)` whatever it is stored as. What has no meaning stays a stand-in, through any
operation, so that a loss which depends on it is refused and never judged.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from elbolab.auditing.heads import plain
from elbolab.auditing.probe.frames import stored_as, unpacked_as, users
from elbolab.auditing.probe.names import number_for, slot_named
from elbolab.auditing.probe.serving import Serving, Unserved, now


class Standin:
    """Something of this name, of which no more is known; `claim` is what the last operation on it made of it."""

    def __init__(self, name: str, claim: str = "", *, called: bool = False) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_claim", claim)
        object.__setattr__(self, "_called", called)  # the result of a call: no number, whatever its name

    @property
    def said(self) -> str:
        return f"`{self._name}`"

    def __repr__(self) -> str:
        return f"<{self._name}>"

    def _answer(self, name: str) -> Any:
        """What the part of this name is: a slot, a number, or something of that name."""
        serving = now()
        slot = slot_named(name)
        if slot and slot in serving.point:
            if self._claim:
                serving.claims[slot] = self._claim
            return serving.slot(slot, name)
        number = None if self._called else serving.number(name)
        return Standin(name, self._claim, called=self._called) if number is None else number

    def _resolved(self) -> Any:
        """The tensor or number that a name as such means; itself where it means none, or is the result of a call."""
        return self if self._called else self._answer(self._name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__") and not slot_named(name):
            raise AttributeError(name)
        if name in now().values:
            return now().number(name)
        resolved = self._resolved() if hasattr(Tensor, name) else self
        if resolved is not self and not isinstance(resolved, Standin):
            return getattr(resolved, name)
        if hasattr(Tensor, name) and not slot_named(name):
            claim = {"sigmoid": "probs"}.get(name, self._claim)
            return lambda *_, **__: named_after(
                stored_as(sys._getframe(1)), Standin(self._name, claim, called=self._called)
            )
        slot = slot_named(name)
        if slot is not None and slot in now().point:
            # A network may be called what its output is: self.mu(h).
            answer = Answer(name)
            answer._parent = self._name
            return answer
        return self._answer(name)

    def __eq__(self, other: object) -> bool:
        """What picks a branch by its name, as `loss_type == "mse"`, is remembered; it is none that is known."""
        if isinstance(other, str) and Serving.current:
            Serving.current.compared.setdefault(self._name, []).append(other)
        return self is other

    __hash__ = object.__hash__

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def __call__(self, *arguments: Any, **__: Any) -> Any:
        now().calls.append((self._name, arguments))
        return named_after(stored_as(sys._getframe(1)), Standin(self._name, self._claim, called=True))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self._answer(key)
        names = stored_as(sys._getframe(1))
        return named_after(names, Standin(f"{self._name}[{key!r}]" if isinstance(key, int) else self._name))

    def get(self, key: str, default: Any = None) -> Any:
        found = self._answer(key)
        return default if isinstance(found, Standin) and default is not None else found

    def __iter__(self) -> Iterator[Any]:
        names = unpacked_as(sys._getframe(1))
        if not names:
            raise Unserved(f"{self.said} is gone through item by item, and what is in it is not known")
        _sourced(names, self)
        return iter([self._answer(name) if name else Standin(self._name) for name in names])

    def __len__(self) -> int:
        return len(now().point["x"])

    def __bool__(self) -> bool:
        return True

    def __format__(self, _: str) -> str:
        return repr(self)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], _: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        args, kwargs = _resolve(args), _resolve(kwargs or {})
        unknown = _first_unknown([args, kwargs])
        if unknown is None:
            return func(*args, **kwargs)
        claim = "probs" if getattr(func, "__name__", "") == "sigmoid" else unknown._claim
        return named_after(stored_as(users(sys._getframe(1))), Standin(unknown._name, claim, called=unknown._called))


class Unrun(Standin):
    """A value that the file makes while it runs: its numbers are the file's own, so that none is taken for granted."""

    def _answer(self, name: str) -> Any:
        serving = now()
        if name not in serving.values and number_for(name) is not None:
            whole = name if name == self._name else f"{self._name}.{name}"
            raise Unserved(f"`{whole}` is known only when the file runs: say {name}=VALUE")
        return super()._answer(name)


class Answer(Standin):
    """A tensor by its name, unless it is called as a network is: then its output is that tensor."""

    _parent = ""

    def __call__(self, *arguments: Any, **__: Any) -> Any:
        if hasattr(Tensor, self._name) and not any(isinstance(a, (Tensor, Standin)) for a in arguments):
            return Standin(self._parent or self._name, called=True)  # the mean() of something unknown is none of q
        now().calls.append((self._name, arguments))
        names = stored_as(sys._getframe(1))
        found = named_after(names, self)
        return self._resolved() if isinstance(found, Standin) else found


def _operator(name: str) -> Callable[..., Any]:
    def operate(self: Standin, *others: Any) -> Any:
        mine, theirs = self._resolved(), _resolve(others)
        unknown = _first_unknown([mine, theirs])
        return Standin(unknown._name, unknown._claim) if unknown else getattr(mine, name)(*theirs)

    return operate


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "rpow", "matmul", "rmatmul"):
    setattr(Standin, f"__{_name}__", _operator(f"__{_name}__"))
for _name in ("neg", "abs", "lt", "le", "gt", "ge", "float", "int", "index"):
    setattr(Standin, f"__{_name}__", _operator(f"__{_name}__"))


def _resolve(value: Any) -> Any:
    if isinstance(value, Standin):
        return value._resolved()
    if isinstance(value, (tuple, list)) and type(value) in (tuple, list):
        return type(value)(_resolve(part) for part in value)
    return {key: _resolve(part) for key, part in value.items()} if isinstance(value, dict) else value


def _first_unknown(value: Any) -> Standin | None:
    if isinstance(value, Standin):
        return value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return next((found for part in parts if (found := _first_unknown(part))), None)


def named_after(names: tuple[str, ...], what: Standin) -> Any:
    """A result by the names that it is stored under, or else by its own: a tuple for several."""
    if len(names) > 1:
        _sourced(names, what)
        return tuple(what._answer(name) if name else Standin(what._name) for name in names)
    for name in names:
        if slot_named(name):
            _sourced(names, what)
            return what._answer(name)
    slot = slot_named(_as_result(what._name))
    if slot is None or slot not in now().point:
        return what
    if what._claim:
        now().claims[slot] = what._claim
    now().sources.setdefault(slot, set()).add(what._name)
    # The name of a network says where its output goes, but not that fc_var is a variance.
    return now().slot(slot, "")


def _sourced(names: tuple[str, ...], what: Standin) -> None:
    """Remembers which network a slot's tensor came from."""
    for slot in filter(None, map(slot_named, filter(None, names))):
        if what._called:
            now().sources.setdefault(slot, set()).add(what._name)


def _as_result(name: str) -> str:
    """What a network of this name returns: `decoder` an output, `fc_mu` a mean."""
    parts = [part for part in plain(name).split("_") if not part.isdigit()]
    return "_".join(p for p in parts if p not in ("fc", "linear", "layer", "net", "to", "head", "hidden", "enc"))
