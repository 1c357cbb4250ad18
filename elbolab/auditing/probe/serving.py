"""What a loss is served during one call: the probe, and what it asked for by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from elbolab.auditing.probe.names import number_for
from elbolab.auditing.probe.points import Probe


class Unserved(AttributeError):
    """A loss needs something of an object that is not there; the message names it."""


class Serving:
    """What stands in during one call: the probe, what was asked of it, and what was said for names."""

    current: Serving | None = None

    def __init__(self, point: Probe, values: Mapping[str, Any] | None = None) -> None:
        self.point = point
        self.values = dict(values or {})
        self.slots: dict[str, str] = {}  # slot -> the name under which it was asked for
        self.numbers: dict[str, Any] = {}
        self.sources: dict[str, set[str]] = {}  # slot -> the networks whose output it is
        self.claims: dict[str, str] = {}
        self.compared: dict[str, list[str]] = {}  # name -> the words that it was held against
        self.calls: list[tuple[str, tuple[Any, ...]]] = []  # what networks were given

    def __enter__(self) -> Serving:
        self.before, Serving.current = Serving.current, self
        return self

    def __exit__(self, *_: object) -> None:
        Serving.current = self.before

    @property
    def open(self) -> str:
        """What the loss picks a branch by, and nobody has said."""
        said = (
            f"`{name}` is compared with {' and '.join(map(repr, dict.fromkeys(words)))}: say {name}=VALUE"
            for name, words in self.compared.items()
        )
        return "; ".join(said)

    @property
    def latent_axes(self) -> int:
        return self.point["mu"].dim() - 1

    def slot(self, slot: str, name: str) -> Tensor:
        self.slots.setdefault(slot, name)
        found = self.point[slot].clone()
        if slot != "output" or self.draws < 2:
            return found
        # A network that was given (batch, draws, latents) answers for every draw.
        return found.unsqueeze(1).expand(-1, self.draws, *found.shape[1:]).clone()

    @property
    def draws(self) -> int:
        """The draws per datum in what a network was given last, where they stand after the batch."""
        latents = self.point["mu"].shape
        for _, arguments in reversed(self.calls):
            first = arguments[0] if arguments else None
            if isinstance(first, Tensor) and first.shape[-1:] == latents[-1:] and first.dim() == len(latents) + 1:
                return first.shape[1] if first.shape[:1] == latents[:1] and first.shape[1:-1] != latents[:1] else 0
            return 0
        return 0

    def number(self, name: str) -> Any:
        """The value of a name that is a plain number, None for one that is not."""
        found = self.values.get(name, number_for(name))
        if found is not None:
            self.numbers[name] = found
        return found


def now() -> Serving:
    if Serving.current is None:
        raise Unserved("something stands in here for what is known only while a loss is probed")
    return Serving.current
