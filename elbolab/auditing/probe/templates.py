"""What an argument is filled with: a slot of the probe, a mask, a size, a stand-in, or a tuple of these."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from elbolab.auditing.probe.objects import objects_of
from elbolab.auditing.probe.serving import Serving
from elbolab.auditing.probe.standins import Standin


@dataclass(frozen=True)
class Slot:
    """An argument that the probe fills; `reshaped` is done to it first, where its argument has another form."""

    name: str


@dataclass(frozen=True)
class Part:
    """One of several levels that share a slot: the slot's last axis is divided among them."""

    name: str
    index: int
    of: int


@dataclass(frozen=True)
class Joined:
    """Both heads in one tensor, as an encoder returns them before they are taken apart."""


@dataclass(frozen=True)
class Gaussian:
    """The posterior as a `torch.distributions.Normal`, whose scale is the second head."""


@dataclass(frozen=True)
class Labels:
    """A class per datum, that a model is conditioned on."""


@dataclass(frozen=True)
class Lengths:
    """The lengths of the sequences: all are whole."""


@dataclass(frozen=True)
class Ones:
    """A mask of ones in the shape of the data, for series and images without their last axis; `idle` is of zeros."""

    whole: bool = False
    idle: bool = False


@dataclass(frozen=True)
class Size:
    """A number that is a size of the probe: that of an axis of a slot, or of all its axes but the batch."""

    slot: str
    axis: int | None = 0


@dataclass(frozen=True)
class Stand:
    """An argument for which something stands in, under this name; `of` is the class that it is an object of."""

    name: str
    of: type | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


def filled(value: Any, serving: Serving) -> Any:
    """A template with the probe's numbers in its slots."""
    if isinstance(value, Slot):
        # A clone, so that a loss which works in place spoils neither the probe nor a leaf.
        return serving.slot(value.name, value.name)
    if isinstance(value, Part):
        return serving.slot(value.name, value.name).chunk(value.of, -1)[value.index]
    if isinstance(value, Joined):
        return torch.cat([serving.slot("mu", "mu"), serving.slot("head", "head")], 1 if serving.latent_axes > 1 else -1)
    if isinstance(value, Gaussian):
        return torch.distributions.Normal(serving.slot("mu", "mu"), serving.slot("head", "scale"), validate_args=False)
    if isinstance(value, Labels):
        return torch.zeros(len(serving.point["x"]), dtype=torch.long)
    if isinstance(value, Lengths):
        x = serving.point["x"]
        return torch.full((len(x),), x.shape[1] if x.dim() > 1 else 1)
    if isinstance(value, Ones):
        x = serving.point["x"]
        shape = x.shape if value.whole or x.dim() < 3 else x.shape[:-1]
        return (
            torch.zeros(shape, dtype=torch.bool) if value.idle else torch.ones(shape, dtype=serving.point["mu"].dtype)
        )
    if isinstance(value, Size):
        shape = serving.point[value.slot].shape
        return shape[1:].numel() if value.axis is None else shape[value.axis]
    if isinstance(value, Stand):
        return objects_of(value.of, value.name, value.given) if value.of else Standin(value.name)
    if isinstance(value, (tuple, list)):
        return type(value)(filled(part, serving) for part in value)
    if type(value) is dict:
        return Bundle({key: filled(part, serving) for key, part in value.items()})
    return value


class Bundle(dict[str, Any]):
    """A dictionary whose keys are attributes as well."""

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(name)
        return self[name]


def slots_in(value: Any) -> set[str]:
    """The slots in a template."""
    if isinstance(value, (Slot, Part)):
        return {value.name}
    if isinstance(value, (Joined, Gaussian)):
        return {"mu", "head"}
    if isinstance(value, Mapping):
        value = list(value.values())
    return set().union(*map(slots_in, value)) if isinstance(value, (tuple, list)) else set()
