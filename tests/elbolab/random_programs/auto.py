"""AutoGuides, spelt out: what they draw and which parameters they have."""

import numpy as np

from tests.elbolab.random_programs.program import Parameter, Plate, Site, tensor

SOFTPLUS = "torch.nn.functional.softplus({})"


def _random(rng: np.random.Generator, *shape: int, low=-1.0, high=1.0) -> Parameter:
    return Parameter(tensor(rng.uniform(low, high, shape).round(3)))


def _shape(site: Site, plates: dict[str, Plate]) -> tuple[int, ...]:
    """The shape of all its values: plates (one at most) and event."""
    assert len(site.plates) < 2
    return tuple(plates[plate].size for plate in site.plates) + ((site.size,) if site.size else ())


def auto_normal(latents, plates, rng):
    guide, parameters = [], {}
    for site in latents:
        index = "[i_data]" if site.plates else ""
        loc, scale = f"locs_{site.name}", f"scales_{site.name}"
        shape = _shape(site, plates)
        parameters |= {loc: _random(rng, *shape), scale: _random(rng, *shape, low=-0.5, high=0.5)}
        args = (loc + index, SOFTPLUS.format(scale + index))
        guide.append(Site(site.name, "Normal", args, site.size, site.plates))
    return guide, parameters


def auto_delta(latents, plates, rng):
    guide, parameters = [], {}
    for site in latents:
        parameters[f"point_{site.name}"] = _random(rng, *_shape(site, plates))
        index = "[i_data]" if site.plates else ""
        guide.append(Site(site.name, "Delta", (f"point_{site.name}{index}",), site.size, site.plates))
    return guide, parameters


def _slices(latents, plates):
    """Where in the flat vector each site's value of a cell is, as an expression."""
    start = 0
    for site in latents:
        width, event = int(np.prod(_shape(site, plates), dtype=int)), site.size or 1
        place = f"{start}" + (f" + {event} * i_data" if site.plates else "")
        yield site, f"[{place} : {place} + {site.size}]" if site.size else f"[{place}]"
        start += width


def auto_diagonal_normal(latents, plates, rng):
    total = sum(int(np.prod(_shape(site, plates), dtype=int)) for site in latents)
    parameters = {"loc": _random(rng, total), "scale": _random(rng, total, low=-0.5, high=0.5)}
    guide = [
        Site(site.name, "Normal", (f"loc{at}", SOFTPLUS.format(f"scale{at}")), site.size, site.plates)
        for site, at in _slices(latents, plates)
    ]
    return guide, parameters


def auto_multivariate_normal(latents, plates, rng):
    """z = loc + scale L e with L unit lower triangular; its density is that of e over the product of the scales."""
    total = sum(int(np.prod(_shape(site, plates), dtype=int)) for site in latents)
    parameters = {
        "loc": _random(rng, total),
        "scale": _random(rng, total, low=-0.5, high=0.5),
        "scale_tril": _random(rng, total, total),
    }
    names = [f"e{index}" for index in range(total)]
    noise = [
        Site(name, "Normal", ("torch.tensor(0.0)", "torch.tensor(1.0)"), infer=(("is_auxiliary", True),))
        for name in names
    ]
    rows = []
    for row in range(total):
        mixed = " + ".join([f"e{row}"] + [f"scale_tril[{row}, {column}] * e{column}" for column in range(row)])
        rows.append(
            (
                f"loc[{row}] + {SOFTPLUS.format(f'scale[{row}]')} * ({mixed})",
                f"-{SOFTPLUS.format(f'scale[{row}]')}.log()",
            )
        )
    guide, start = list(noise), 0
    for site in latents:
        event = site.size or 1
        mine = rows[start : start + event]
        start += event
        value = f"torch.stack([{', '.join(r[0] for r in mine)}], -1)" if site.size else mine[0][0]
        guide.append(Site(site.name, "Delta", (value, " ".join(r[1] for r in mine)), site.size))
    return guide, parameters


AUTOS = {
    "AutoNormal": auto_normal,
    "AutoDiagonalNormal": auto_diagonal_normal,
    "AutoDelta": auto_delta,
    "AutoMultivariateNormal": auto_multivariate_normal,
}
