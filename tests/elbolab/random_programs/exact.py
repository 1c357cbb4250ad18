"""The ELBO and the multi-sample bounds of a random program, with gradients, without Pyro and without drawing.

A latent of one cell of its plates is a random variable of its own. What the guide can draw is spread out on a grid:
all values of discrete latents with their probabilities, Gauss-Hermite nodes for normals, one point for a Delta; in the
guide's order, so that later latents have a value for every value of earlier ones. The ELBO is a sum of terms, each an
expectation over the few latents it depends on; subsets of cells are summed one by one.

    ELBO = 1/|S| sum_S sum_terms scale E_q[mask log p - mask log q]
    L_K  = sum_units E_{q^K}[1/(1 - alpha) log 1/K sum_k w_k^(1 - alpha)], alpha = 0 but where it is said

A unit is a cell of the plates that all latents are in; log w sums what is in it. A parameter that model and guide share
has two leaves, one for each, as some objectives have other gradients for the model than for the guide.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from tests.elbolab.random_programs.program import CONSTANTS, Program, Site, tensor

MODEL, GUIDE = 0, 1
LIMIT = 3_000_000  # points of a grid for K particles
FEWEST = 7  # nodes per normal, below which nothing is known of how exact they are
Cell = tuple[tuple[str, int], ...]
Latent = tuple[str, Cell]


class TooLarge(Exception):
    """A grid that would take too long."""


@dataclass
class Grid:
    """Values of latents, (points, *event) each, and the logarithm of the guide's probability of every point."""

    values: dict[Latent, Tensor]
    log_weight: Tensor


class Exact:
    """The answers for one program, its cells repeated as in the code; `nodes` sets how fine the quadrature is."""

    def __init__(self, program: Program, copies: int = 1, nodes: float = 1.0):
        self.program, self.copies, self.nodes = program, copies, nodes
        self.repeated = program.repeated()
        self.leaves = [
            {name: p.value.clone().requires_grad_() for name, p in program.parameters.items()} for _ in (MODEL, GUIDE)
        ]
        self.sides = [_without_obs_mask(program.model), program.guide]
        self.by_name = [{site.name: site for site in side} for side in self.sides]
        self.grids: dict[frozenset[Latent], Grid] = {}

    # The bounds

    def elbo(self) -> Tensor:
        """The expectation of what the objective says, over latents and over subsets of cells."""
        return sum(
            (
                share * sign * self.times(site.plates) * self.expectation(side, site, cell)
                for side, sign in ((MODEL, 1.0), (GUIDE, -1.0))
                for site in self.terms(side)
                for cell, share in self.shares(site)
            ),
            torch.zeros(()).double(),
        )

    def bound(self, particles: int, common: tuple[str, ...], alpha: float = 0.0) -> Tensor:
        """L_K, a unit being a cell of the `common` plates of all latents."""
        total = torch.zeros(()).double()
        for unit in self.cells(common):
            terms = [
                (side, sign, site, cell)
                for side, sign in ((MODEL, 1.0), (GUIDE, -1.0))
                for site in self.terms(side)
                for cell in self.cells(site.plates)
                if set(common) <= set(site.plates) and set(unit) <= set(cell)
            ]
            total = total + self.times(common) * self.log_mean(particles, terms, 1.0 - alpha)
        # What stands outside of the units depends on no latent.
        for side, sign in ((MODEL, 1.0), (GUIDE, -1.0)):
            for site in self.terms(side):
                if not set(common) <= set(site.plates):
                    for cell in self.cells(site.plates):
                        drawn = [self.by_name[GUIDE][name] for name, _ in self.ancestors(side, site, cell)]
                        assert all(map(self.program.is_point, drawn)), f"{site.name} couples units"
                        total = total + sign * self.times(site.plates) * self.expectation(side, site, cell)
        return total

    def log_mean(self, particles: int, terms: list, power: float) -> Tensor:
        """E[1/power log 1/K sum_k w_k^power] of one unit, over all K-tuples of points of its grid."""
        latents = frozenset().union(*(self.ancestors(side, site, cell) for side, _, site, cell in terms))
        grid = self.grid(latents, particles)
        points = len(grid.log_weight)
        if points**particles > LIMIT:
            raise TooLarge(f"{points} points for {particles} particles")
        log_w = power * sum(sign * self.density(side, site, cell, grid) for side, sign, site, cell in terms)
        total, measure = torch.broadcast_to(log_w, (points,)), grid.log_weight
        for _ in range(particles - 1):
            total = torch.logaddexp(total[..., None], torch.broadcast_to(log_w, (points,)))
            measure = measure[..., None] + grid.log_weight
        return (measure.exp() * (total - math.log(particles))).sum() / power

    # Terms

    def times(self, plates: tuple[str, ...]) -> int:
        return self.copies if self.repeated in plates else 1

    def terms(self, side: int) -> list[Site]:
        return [site for site in self.sides[side] if site.family != "deterministic"]

    def cells(self, plates: tuple[str, ...]) -> list[Cell]:
        sizes = [range(self.program.plates[plate].size) for plate in plates]
        return [tuple(zip(plates, index, strict=True)) for index in itertools.product(*sizes)]

    def shares(self, site: Site) -> list[tuple[Cell, float]]:
        """Every cell with the mean over all subsets of its weight N / B if it is drawn, else 0."""
        plates = [self.program.plates[name] for name in site.plates]
        subsets = [list(itertools.combinations(range(p.size), p.subsample or p.size)) for p in plates]
        share: dict[Cell, float] = {}
        for drawn in itertools.product(*subsets):
            weight = math.prod(p.size / len(d) for p, d in zip(plates, drawn, strict=True))
            for index in itertools.product(*drawn):
                cell = tuple(zip(site.plates, index, strict=True))
                share[cell] = share.get(cell, 0.0) + weight / math.prod(map(len, subsets))
        return list(share.items())

    def expectation(self, side: int, site: Site, cell: Cell) -> Tensor:
        grid = self.grid(self.ancestors(side, site, cell), 1)
        density = self.density(side, site, cell, grid)
        return (grid.log_weight.exp() * density).sum()

    def density(self, side: int, site: Site, cell: Cell, grid: Grid) -> Tensor:
        """The site's scaled and masked log-density at every point of the grid."""
        if site.mask:
            kept = self.datum(site.mask, cell).bool()
            if not bool(kept if site.mask_by != "inverse" else ~kept):
                return torch.zeros(()).double()
        args = [self.evaluate(expression, side, cell, grid) for expression in site.args]
        scale = self.datum(site.scale, cell) if isinstance(site.scale, str) else site.scale
        if site.family == "factor":
            return scale * args[0]
        value = self.datum(site.obs, cell) if site.obs else grid.values[self.latent(site.name, cell)]
        return scale * log_density(site, args, value)

    # What depends on what

    def latent(self, name: str, cell: Cell) -> Latent:
        plates = self.by_name[GUIDE][name].plates
        return name, tuple((plate, index) for plate, index in cell if plate in plates)

    def parents(self, side: int, site: Site, cell: Cell) -> set[Latent]:
        """The latents whose values the site's arguments are computed from."""
        found: set[Latent] = set()
        for word in site.words() & set(self.by_name[side]):
            parent = self.by_name[side][word]
            if parent.family == "deterministic":
                found |= self.parents(side, parent, cell)
            else:
                found.add(self.latent(word, cell))
        return found

    def ancestors(self, side: int, site: Site, cell: Cell) -> frozenset[Latent]:
        """Those that its density depends on, and all that these are drawn from."""
        found = set(self.parents(side, site, cell))
        if site.latent:
            found.add(self.latent(site.name, cell))
        waiting = list(found)
        while waiting:
            name, place = waiting.pop()
            new = self.parents(GUIDE, self.by_name[GUIDE][name], place) - found
            found |= new
            waiting += new
        return frozenset(found)

    def grid(self, latents: frozenset[Latent], particles: int) -> Grid:
        normals = sum(
            max(1, self.by_name[GUIDE][name].size)
            for name, _ in latents
            if self.by_name[GUIDE][name].family in ("Normal", "LogNormal")
        )
        most = _nodes(normals, particles)
        if most < FEWEST:
            raise TooLarge(f"{normals} normals at once, {most} nodes each")
        nodes = round(self.nodes * most)
        key = (latents, nodes)
        if key not in self.grids:
            self.grids[key] = self._grid(latents, nodes)
        return self.grids[key]

    def _grid(self, latents: frozenset[Latent], nodes: int) -> Grid:
        order = list(self.by_name[GUIDE])
        grid = Grid({}, torch.zeros(1).double())
        for name, cell in sorted(latents, key=lambda latent: (order.index(latent[0]), latent[1])):
            site = self.by_name[GUIDE][name]
            args = [self.evaluate(expression, GUIDE, cell, grid) for expression in site.args]
            values, log_weight = choices(site, args, len(grid.log_weight), nodes)
            count = log_weight.shape[1]
            if len(grid.log_weight) * count > LIMIT:
                raise TooLarge(f"{len(grid.log_weight) * count} points")
            grid = Grid(
                {latent: value.repeat_interleave(count, 0) for latent, value in grid.values.items()},
                (grid.log_weight[:, None] + log_weight).flatten(),
            )
            grid.values[name, cell] = values.flatten(0, 1)
        return grid

    # Values

    def datum(self, name: str, cell: Cell) -> Tensor:
        """The value in one cell, of a tensor with an axis for every plate by its dim."""
        datum, index = self.program.data[name], dict(cell)
        depth = -min((self.program.plates[plate].dim for plate in datum.plates), default=0)
        place = [0] * depth
        for plate in datum.plates:
            place[depth + self.program.plates[plate].dim] = index[plate]
        return datum.value[tuple(place)]

    def evaluate(self, expression: str, side: int, cell: Cell, grid: Grid) -> Tensor:
        return torch.as_tensor(eval(expression, {"torch": torch}, _Names(self, side, cell, grid)))

    def value(self, name: str, side: int, cell: Cell, grid: Grid) -> Tensor:
        program = self.program
        if name.startswith("i_"):
            return torch.tensor(dict(cell)[name.removeprefix("i_")])
        if name in CONSTANTS:
            return tensor(CONSTANTS[name])
        if name in program.data:
            return self.datum(name, cell)
        if name in program.parameters:
            leaf, parameter = self.leaves[side][name], program.parameters[name]
            value = leaf.exp() if parameter.positive else leaf
            return value[dict(cell)[parameter.plate]] if parameter.plate else value
        site = self.by_name[side].get(name)
        if site is None:
            raise KeyError(name)
        if site.family == "deterministic":
            return self.evaluate(site.args[0], side, cell, grid)
        return grid.values[self.latent(name, cell)]


class _Names(dict):
    """The names that an expression may use, as `eval` asks for them."""

    def __init__(self, exact: Exact, side: int, cell: Cell, grid: Grid):
        super().__init__()
        self.find = lambda name: exact.value(name, side, cell, grid)

    def __missing__(self, name: str) -> Tensor:
        return self.find(name)


def _nodes(normals: int, particles: int) -> int:
    """Nodes per normal that a product grid can have."""
    points = {1: 60_000, 2: 1_100}.get(particles, LIMIT ** (1 / particles))
    return int(min(48, points ** (1 / max(1, normals))))


def _without_obs_mask(sites: tuple[Site, ...]) -> tuple[Site, ...]:
    """A site with an obs_mask is two: what is observed, and a latent of the same distribution elsewhere."""
    found = []
    for site in sites:
        if site.mask_by != "obs_mask" or not site.mask:
            found.append(site)
            continue
        kept = {key: getattr(site, key) for key in ("family", "args", "size", "plates", "scale", "mask")}
        found.append(Site(name=f"{site.name}_observed", obs=site.obs, **kept))
        found.append(Site(name=f"{site.name}_unobserved", mask_by="inverse", **kept))
    return tuple(found)


def log_density(site: Site, args: list[Tensor], value: Tensor) -> Tensor:
    """log p(value) of a family, summed over the event."""
    family, first = site.family, args[0]
    if family == "Bernoulli":
        density = -(value * softplus(-first) + (1 - value) * softplus(first))
    elif family == "Categorical":
        table = first - first.logsumexp(-1, keepdim=True)
        shape = torch.broadcast_shapes(table.shape[:-1], value.shape)
        index = value.long().expand(shape)[..., None]
        return table.expand(*shape, table.shape[-1]).gather(-1, index)[..., 0]
    elif family == "OneHotCategorical":
        return (value * (first - first.logsumexp(-1, keepdim=True))).sum(-1)
    elif family in ("Normal", "LogNormal"):
        place = value.log() if family == "LogNormal" else value
        density = -0.5 * ((place - first) / args[1]) ** 2 - args[1].log() - 0.5 * math.log(2 * math.pi)
        density = density - place if family == "LogNormal" else density
    elif family == "Poisson":
        density = value * first.log() - first - torch.lgamma(value + 1)
    elif family == "Delta":
        return args[1] if len(args) > 1 else torch.zeros(()).double()
    else:
        raise AssertionError(f"no density of {family}")
    return density.expand(*density.shape[:-1], site.size).sum(-1) if site.size else density


def choices(site: Site, args: list[Tensor], points: int, nodes: int) -> tuple[Tensor, Tensor]:
    """All values of a latent given every point, (points, n, *event), and their log-probabilities, (points, n)."""
    event = (site.size,) if site.event_dim else ()
    if site.family == "Delta":
        return args[0].expand(points, *event)[:, None], torch.zeros(points, 1).double()
    if site.family in ("Normal", "LogNormal"):
        x, weight = np.polynomial.hermite_e.hermegauss(nodes)
        log_weight = np.log(weight / weight.sum())
        width = site.size or 1
        grid = tensor(list(itertools.product(x, repeat=width)))
        measure = tensor(list(itertools.product(log_weight, repeat=width))).sum(-1)
        loc, scale = (arg.expand(points, *event)[:, None] for arg in args)
        value = loc + scale * (grid if site.size else grid[:, 0])
        return value.exp() if site.family == "LogNormal" else value, measure.expand(points, -1)
    if site.family == "Bernoulli":
        values = tensor(list(itertools.product((0.0, 1.0), repeat=site.size or 1)))
        values = values if site.size else values[:, 0]
    elif site.family == "OneHotCategorical":
        values = torch.eye(site.size).double()
    else:
        values = torch.arange(site.size)
    shape = (site.size,) if site.family != "Bernoulli" or site.size else ()
    spread = args[0].expand(points, *shape)[:, None]
    density = log_density(site, [spread], values.expand(points, *values.shape))
    return values.expand(points, *values.shape), density
