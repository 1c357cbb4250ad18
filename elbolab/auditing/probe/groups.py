"""Arguments that come in groups, by their names: a mean and a head per level, an output and its data per modality."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from elbolab.auditing.heads import plain
from elbolab.auditing.probe.names import ANY, SLOT_OF, options
from elbolab.auditing.probe.templates import Part, Slot

Group = tuple[dict[str, Any], str, str]  # what each argument is given, what the output is said to be, the head's name


def grouped(names: Sequence[str]) -> Iterator[Group]:
    """Every assignment of these names that has groups; none where there are none."""
    if levels := _levels(names):
        yield from _of_levels(names, *levels)
    elif pairs := _modalities(names):
        yield from _of_modalities(names, pairs)


def _levels(names: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """mu1, logvar1, mu2, logvar2: as many means as heads, more than one of each."""
    first = {name: SLOT_OF[options(name)[0]] for name in names if options(name) is not ANY}
    means, heads = ([name for name in names if first.get(name) == slot] for slot in ("mu", "head"))
    return (means, heads) if len(means) == len(heads) > 1 else None


def _of_levels(names: Sequence[str], means: list[str], heads: list[str]) -> Iterator[Group]:
    """Each level has its share of the latents; of two, the second may be a prior."""
    shares = {n: Part("mu", i, len(means)) for i, n in enumerate(means)}
    shares |= {n: Part("head", i, len(heads)) for i, n in enumerate(heads)}
    prior = dict(zip((*means, *heads), map(Slot, ("mu", "prior_mu", "head", "prior_head")), strict=False))
    for rest, words in _others([name for name in names if name not in shares]):
        if {"output", "x"} <= set(words):
            for named in (prior, shares) if len(means) == 2 else (shares,):
                yield {**rest, **named}, words["output"], heads[0]


def _modalities(names: Sequence[str]) -> dict[str, str]:
    """recon_image and image, recon_text and text: an output, and its data."""
    found: dict[str, str] = {}
    for name in names:
        if options(name) is not ANY and SLOT_OF[options(name)[0]] == "output":
            parts = plain(name).split("_")
            data = [n for n in names if n != name and plain(n) in ("_".join(parts[1:]), "_".join(parts[:-1]))]
            found |= {name: data[0]} if data else {}
    return found if len(found) > 1 else {}


def _of_modalities(names: Sequence[str], pairs: Mapping[str, str]) -> Iterator[Group]:
    """Each modality has its share of the data."""
    shares: dict[str, Any] = {}
    for i, (output, data) in enumerate(pairs.items()):
        shares |= {output: Part("output", i, len(pairs)), data: Part("x", i, len(pairs))}
    claim = options(next(iter(pairs)))[0]
    for rest, words in _others([name for name in names if name not in shares]):
        if not {"output", "x"} & set(words):
            yield {**rest, **shares}, claim, next((n for n, slot in rest.items() if slot == Slot("head")), "")


def _others(names: Sequence[str]) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """The slot of each of the other names, and the word for each slot; no slot twice."""
    for chosen in product(*map(options, names)):
        slots = [SLOT_OF[role] for role in chosen]
        if len(set(slots)) == len(slots):
            yield dict(zip(names, map(Slot, slots), strict=True)), dict(zip(slots, chosen, strict=True))
