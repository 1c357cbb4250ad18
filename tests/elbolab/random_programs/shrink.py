"""A failing program made small: what is not needed for the failure is taken away, piece by piece."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.elbolab.random_programs.program import Program, Site, pruned


def shrink(program: Program, fails: Callable[[Program], bool], patience: int = 400) -> Program:
    """The smallest program that is found for which `fails` holds; it is asked `patience` times at most."""
    found = True
    while found:
        found = False
        for smaller in _smaller(program):
            patience -= 1
            if patience < 0:
                return program
            if fails(smaller):
                program, found = smaller, True
                break
    return program


def _smaller(program: Program) -> Iterator[Program]:
    """All programs that are one step smaller, the largest steps first."""
    for candidate in (*_without_sites(program), *_plainer(program), *_fewer_cells(program), *_fewer_terms(program)):
        yield pruned(candidate)


def _without_sites(program: Program) -> Iterator[Program]:
    if program.auto:
        return
    names = dict.fromkeys(site.name for site in program.model + program.guide)
    for name in names:
        sides = [tuple(_without(site, name) for site in side if site.name != name) for side in _sides(program)]
        if all(any(site.obs or site.latent for site in side) for side in sides):
            yield replace(program, model=sides[0], guide=sides[1])


def _without(site: Site, name: str) -> Site:
    """No term of the arguments mentions the name."""
    args = tuple(
        " + ".join(kept) if (kept := [term for term in arg.split(" + ") if name not in _words(term)]) else arg
        for arg in site.args
    )
    return replace(site, args=args)


def _plainer(program: Program) -> Iterator[Program]:
    plain = {"style": "param", "call": "loss_and_grads", "keywords": (), "vectorize": True}
    for key, value in plain.items():
        if getattr(program, key) != value:
            yield replace(program, **{key: value})
    for which in ("model", "guide"):
        side = getattr(program, which)
        for index, site in enumerate(side):
            for key, value in {"scale": 1.0, "mask": "", "rsample": True}.items():
                if getattr(site, key) != value:
                    changed = replace(site, **{key: value})
                    yield replace(program, **{which: (*side[:index], changed, *side[index + 1 :])})


def _fewer_cells(program: Program) -> Iterator[Program]:
    if program.auto:
        return
    for plate in program.plates.values():
        out = {"plates": {name: other for name, other in program.plates.items() if name != plate.name}}
        if not plate.sequential and plate.dim == -len(program.plates):
            yield _first_cell(program, plate.name, out)
        if plate.subsample:
            yield replace(program, plates=program.plates | {plate.name: replace(plate, subsample=0)})


def _first_cell(program: Program, name: str, changes: dict) -> Program:
    """Without the outermost plate, for its first cell."""

    def outside(things):
        return tuple(plate for plate in things if plate != name)

    data = {
        key: replace(datum, plates=outside(datum.plates), value=datum.value[0] if name in datum.plates else datum.value)
        for key, datum in program.data.items()
    }
    parameters = {
        key: replace(p, plate="", value=p.value[0]) if p.plate == name else p for key, p in program.parameters.items()
    }
    sides = [tuple(replace(site, plates=outside(site.plates)) for site in side) for side in _sides(program)]
    return replace(program, model=sides[0], guide=sides[1], data=data, parameters=parameters, **changes)


def _fewer_terms(program: Program) -> Iterator[Program]:
    if program.auto:
        return
    for which in ("model", "guide"):
        side = getattr(program, which)
        for index, site in enumerate(side):
            for place, arg in enumerate(site.args):
                terms = arg.split(" + ")
                for term in range(len(terms)) if len(terms) > 1 and arg.count("(") == arg.count(")") else ():
                    shorter = " + ".join(terms[:term] + terms[term + 1 :])
                    args = (*site.args[:place], shorter, *site.args[place + 1 :])
                    changed = replace(site, args=args)
                    yield replace(program, **{which: (*side[:index], changed, *side[index + 1 :])})


def _sides(program: Program) -> tuple[tuple[Site, ...], tuple[Site, ...]]:
    return program.model, program.guide


def _words(text: str) -> set[str]:
    return Site("", "", (text,)).words()
