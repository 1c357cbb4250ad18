"""What a tensor may carry of where it comes from, beside the names of latents."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Jump:
    """A latent that was compared, rounded, read back or cut off, and the line; `moves`: a parameter says where."""

    name: str
    how: str
    moves: bool = False


@dataclass(frozen=True)
class Parameter:
    """A leaf of autograd's graph, by its identity."""

    ident: int


@dataclass(frozen=True)
class Cut:
    """A parameter that is no more in autograd's graph, and the line; `number`: it was made a number or a new tensor."""

    ident: int
    how: str
    number: bool = False


@dataclass(frozen=True)
class Noise:
    """A draw that no sample statement made, and the line; `network`: by a layer that is random by itself (dropout)."""

    how: str
    network: bool = False


Names = frozenset[str]
Mark = str | Jump | Parameter | Cut | Noise
Marks = frozenset[Mark]
NOTHING: Names = frozenset()
