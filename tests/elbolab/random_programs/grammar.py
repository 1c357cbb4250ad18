"""A random Pyro program for every seed.

First the plates, then one to four latents of a theme as a random tree, in the model's order; observed sites, factors,
deterministic sites; then a guide in the model's order or another, whose sites may depend on one another, with weights
that may be zero at first; then what makes programs hard: masks, scales, observed sites and factors in the guide,
auxiliaries, Deltas, AutoGuides. Every parameter has a random value, so that nothing is at an optimum.
"""

import numpy as np
import torch

from tests.elbolab.random_programs.auto import AUTOS
from tests.elbolab.random_programs.program import Datum, Parameter, Plate, Program, Site, tensor

THEMES = {
    "normal": ("Normal", "Normal", "NormalVector", "LogNormal"),
    "bits": ("Bernoulli", "BernoulliVector", "OneHotCategorical"),
    "bit": ("Bernoulli", "BernoulliVector"),
    "categories": ("Categorical", "Bernoulli"),
    "mixed": ("Normal", "Bernoulli", "OneHotCategorical", "Categorical"),
}
OBSERVED = ("Normal", "Normal", "Bernoulli", "NormalVector", "BernoulliVector", "Categorical", "Poisson")
STYLES = ("param", "param", "module", "pyro_module", "plain_module")
CALLS = ("loss_and_grads", "loss_and_grads", "differentiable_loss", "forward")


def random_program(seed: int) -> Program:
    """The program of a seed; its exact answers take a second at most."""
    return _Grammar(seed).program()


class _Grammar:
    def __init__(self, seed: int):
        self.seed, self.rng = seed, np.random.default_rng(seed)
        self.plates: dict[str, Plate] = {}
        self.parameters: dict[str, Parameter] = {}
        self.data: dict[str, Datum] = {}
        self.model: list[Site] = []
        self.guide: list[Site] = []

    def program(self) -> Program:
        self.choose_plates()
        theme = self.one(list(THEMES), [0.36, 0.18, 0.18, 0.1, 0.18])
        latents = self.latents(theme)
        self.rest_of_model(latents)
        auto = ""
        if theme == "normal" and self.chance(0.25) and self.can_be_auto(latents):
            auto = self.one([name for name in AUTOS if name != "AutoMultivariateNormal" or not self.plates])
            self.guide, more = AUTOS[auto](latents, self.plates, self.rng)
            self.parameters |= more
        else:
            self.hand_guide(latents)
            self.break_guide()
        return self.assemble(auto)

    # Chance

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one(self, choices, weights=None):
        return choices[int(self.rng.choice(len(choices), p=weights))]

    def some(self, choices: list, most: int) -> list:
        count = int(self.rng.integers(0, min(most, len(choices)) + 1))
        return [choices[i] for i in sorted(self.rng.choice(len(choices), count, replace=False))] if count else []

    # Pieces

    def choose_plates(self) -> None:
        kind = self.one(["none", "one", "subsampled", "nested", "thinned", "loop"], [0.2, 0.37, 0.12, 0.16, 0.05, 0.1])
        size = int(self.rng.integers(2, 4))
        if kind in ("one", "subsampled", "loop"):
            self.add_plate("data", size, -1, 2 if kind == "subsampled" and size > 2 else 0, kind == "loop")
        elif kind in ("nested", "thinned"):
            self.add_plate("group", 2, -2, 1 if kind == "thinned" and self.chance(0.5) else 0)
            self.add_plate("data", size, -1, 2 if kind == "thinned" and size > 2 else 0)
        self.kind = kind

    def add_plate(self, name: str, size: int, dim: int, subsample: int, sequential: bool = False) -> None:
        self.plates[name] = Plate(name, size, dim, subsample, sequential)

    def place(self, local: float) -> tuple[str, ...]:
        """Plates for a site: none, the outer one, all."""
        names = tuple(self.plates)
        if not names or not self.chance(local):
            return ()
        return names if len(names) == 1 or self.chance(0.6) else names[:1]

    def parameter(self, stem: str, size: int = 0, zero: bool = False, low=-1.0, high=1.0, **more) -> str:
        name = f"{stem}{sum(key.startswith(stem) for key in self.parameters) or ''}"
        shape = (size,) if size else ()
        value = torch.zeros(shape).double() if zero else tensor(self.rng.uniform(low, high, shape).round(3))
        self.parameters[name] = Parameter(value, **more)
        return name

    def datum(self, stem: str, family: str, plates: tuple[str, ...], size: int) -> str:
        name = f"{stem}{sum(key.startswith(stem) for key in self.data) or ''}"
        depth = -min((self.plates[plate].dim for plate in plates), default=0)
        shape = [1] * depth
        for plate in plates:
            shape[depth + self.plates[plate].dim] = self.plates[plate].size
        event = [size] if size and family != "Categorical" else []
        draw = {
            "Normal": lambda s: self.rng.normal(0.5, 1.0, s).round(2),
            "Bernoulli": lambda s: self.rng.integers(0, 2, s).astype(float),
            "Categorical": lambda s: self.rng.integers(0, 3, s),
            "Poisson": lambda s: self.rng.poisson(1.5, s).astype(float),
            "mask": lambda s: self.rng.random(s) < 0.6,
        }[family]
        value = torch.as_tensor(draw(tuple(shape + event)))
        self.data[name] = Datum(value, plates, len(event))
        return name

    def feature(self, site: Site) -> str:
        name = site.name
        if site.family == "Categorical":
            return f"c3[{name}]"
        if site.family == "OneHotCategorical":
            return f"({name} @ c3)"
        if site.family == "Bernoulli" and self.chance(0.12):
            name = self.one([f"({name} > 0.5).double()", f"{name}.round()", f"{name}.long().double()"])
        if site.size:
            return f"({name} @ c2)"
        if site.family == "LogNormal":
            return f"{name}.log1p()"
        return self.one([name, f"{name}.tanh()", f"{name}.sin()"], [0.6, 0.2, 0.2]) if site.family == "Normal" else name

    def link(self, stem: str, features: list[str], size: int, zero: bool = False) -> str:
        """An affine function of features; of `size` components, of one without."""
        text = self.parameter(stem, size)
        for feature in features:
            weight = self.parameter(f"w{stem}", size, zero=zero and self.chance(0.6))
            text += f" + {weight} * {feature}" + ("[..., None]" if size else "")
        return text

    def arguments(self, kind: str, stem: str, features: list[str], zero: bool = False) -> dict:
        """The family, the arguments and the size of a site of some kind."""
        family = kind.removesuffix("Vector")
        size = {"OneHotCategorical": 3, "Categorical": 3}.get(kind, 2 if kind.endswith("Vector") else 0)
        text = self.link(stem, features, size, zero)
        if family in ("Normal", "LogNormal"):
            args: tuple[str, ...] = (text, self.scale(stem))
        elif family == "Poisson":
            args = (f"(0.5 * ({text})).exp()",)
        else:
            args = (text,)
        return {"family": family, "args": args, "size": size}

    def scale(self, stem: str) -> str:
        if self.chance(0.3):
            return self.parameter(f"s{stem}", low=-0.7, high=0.1, positive=True)
        return f"{self.parameter(f's{stem}', low=-0.7, high=0.1)}.exp()"

    # The model

    def latents(self, theme: str) -> list[Site]:
        found: list[Site] = []
        count = self.one([1, 2, 3, 4], [0.35, 0.4, 0.2, 0.05])
        local = self.one([1.0, 0.65], [0.6, 0.4])
        for index in range(count):
            kind = self.one(THEMES[theme])
            kind = kind.removesuffix("Vector") if count > 2 else kind
            plates = self.place(local)
            above = [site for site in found if set(site.plates) <= set(plates)]
            parents = self.some(above, 2) if not above or self.chance(0.4) else [above[-1]]
            name = f"z{index}" if count > 1 else "z"
            found.append(
                Site(name, plates=plates, **self.arguments(kind, "p", [self.feature(site) for site in parents]))
            )
        return sorted(found, key=lambda site: len(site.plates)) if self.loops() else found

    def loops(self) -> bool:
        return any(plate.sequential for plate in self.plates.values())

    def rest_of_model(self, latents: list[Site]) -> None:
        sites = list(latents)
        features = {site.name: self.feature(site) for site in sites}
        if self.chance(0.25):
            base = self.one(latents)
            constant = self.one(["2.0 * ", "1.0 - "])
            sites.append(Site("d", "deterministic", (constant + features[base.name],), plates=base.plates))
            if self.chance(0.7):
                features["d"] = "d"
        covered: set[str] = set()
        count = self.one([0, 1, 2, 3], [0.04, 0.48, 0.38, 0.1])
        for index in range(count):
            names = tuple(self.plates)
            plates = names if self.chance(0.85) or self.loops() else self.place(0.5)
            sites.append(self.observed(f"x{index or ''}", plates, sites, features, covered))
        if self.chance(0.2) or not count:
            plates = self.place(0.6)
            inside = [site for site in latents if set(site.plates) <= set(plates)]
            base = features[self.one(inside).name] if inside and self.chance(0.7) else ""
            name = self.parameter("f")
            sites.append(Site("extra", "factor", (f"{name} * {base}" if base else name,), plates=plates))
        if self.loops():
            sites.sort(key=lambda site: len(site.plates))
        self.model = [self.scaled(site) for site in sites]

    def observed(self, name, plates, sites, features, covered) -> Site:
        above = [site for site in sites if site.name in features and set(site.plates) <= set(plates)]
        fresh = [site for site in above if site.name not in covered]
        parents = fresh[:3] if fresh else self.some(above, 2)
        covered |= {site.name for site in parents}
        chosen = [features[site.name] for site in parents]
        if len(chosen) > 1 and self.chance(0.4):
            chosen = [*chosen[:-2], f"({chosen[-2]} * {chosen[-1]})", chosen[-1]]
        made = self.arguments(self.one(OBSERVED), "m", chosen)
        obs = self.datum("x", made["family"], plates, made["size"])
        mask = self.datum("on", "mask", plates, 0) if plates and self.chance(0.15) else ""
        return Site(name, plates=plates, obs=obs, mask=mask, mask_by=self.one(["poutine", "distribution"]), **made)

    def scaled(self, site: Site) -> Site:
        scalable = site.family not in ("deterministic",)
        if scalable and site.obs and self.chance(0.12):
            return Site(**(site.__dict__ | {"scale": self.one([0.5, 2.0])}))
        return site

    # The guide

    def can_be_auto(self, latents: list[Site]) -> bool:
        return all(site.family == "Normal" for site in latents) and self.kind in ("none", "one") and len(latents) < 3

    def hand_guide(self, latents: list[Site]) -> None:
        order = list(latents)
        if self.chance(0.35):
            order = order[::-1]
        if self.loops():
            order.sort(key=lambda site: len(site.plates))
        dependent = self.chance(0.6)
        for prior in order:
            above = [site for site in self.guide if set(site.plates) <= set(prior.plates)]
            parents = self.some(above, 2) if dependent else []
            features = [self.feature(site) for site in parents] + self.covariates(prior)
            kind = prior.family + ("Vector" if prior.size == 2 else "")
            made = self.arguments(kind, "q", features, zero=self.chance(0.5))
            rsample = not (kind == "Normal" and self.chance(0.1))
            self.guide.append(Site(prior.name, plates=prior.plates, rsample=rsample, **made))

    def covariates(self, prior: Site) -> list[str]:
        """Data that the guide reads: of the site's own plates, one number a cell."""
        plain = [
            name
            for name, datum in self.data.items()
            if datum.plates == prior.plates and not datum.event_dim and datum.value.is_floating_point()
        ]
        return self.some(plain, 1)

    def break_guide(self) -> None:
        """The things that programs of other people have in them."""
        hard = self.one(
            ["", "delta", "flow", "auxiliary", "guide_obs", "guide_factor", "beta", "latent_mask", "local_parameter"]
            + ["missing", "enumerate", "deterministic"],
            [0.42, 0.07, 0.07, 0.06, 0.06, 0.05, 0.07, 0.05, 0.05, 0.03, 0.03, 0.04],
        )
        if hard:
            getattr(self, hard)(self.one(range(len(self.guide))))

    def change(self, side: list[Site], name: str, **keys) -> None:
        for index, site in enumerate(side):
            if site.name == name:
                side[index] = Site(**(site.__dict__ | keys))

    def delta(self, index: int) -> None:
        site = self.guide[index]
        if site.family == "Normal":
            self.guide[index] = Site(site.name, "Delta", site.args[:1], site.size, site.plates)

    def flow(self, index: int) -> None:
        """z = t + r u of an auxiliary u, by hand: a Delta with the density of the change of variables."""
        site = self.guide[index]
        if site.family != "Normal" or site.size:
            return
        shift, stretch = self.parameter("t"), self.parameter("r", low=-0.5, high=0.5)
        base = Site(**(site.__dict__ | {"name": f"u{index}", "infer": (("is_auxiliary", True),)}))
        args = (f"{shift} + {stretch}.exp() * u{index}", f"-{stretch} * torch.ones_like(u{index})")
        self.guide[index : index + 1] = [base, Site(site.name, "Delta", args, 0, site.plates)]

    def auxiliary(self, index: int) -> None:
        """A latent of the guide alone, that another depends on."""
        site = self.guide[index]
        family = "Normal" if site.family in ("Normal", "LogNormal") else "Bernoulli"
        args = (self.parameter("a"), "torch.tensor(0.8)") if family == "Normal" else (self.parameter("a"),)
        aux = Site(f"u{index}", family, args, 0, site.plates, infer=(("is_auxiliary", True),))
        weight = self.parameter("wa", site.size)
        text = f"{site.args[0]} + {weight} * u{index}" + ("[..., None]" if site.size else "")
        self.guide[index : index + 1] = [aux, Site(**(site.__dict__ | {"args": (text, *site.args[1:])}))]

    def guide_obs(self, index: int) -> None:
        site = self.guide[index]
        made = self.arguments(self.one(["Normal", "Bernoulli"]), "g", [self.feature(site)])
        obs = self.datum("y", made["family"], site.plates, 0)
        self.guide.insert(index + 1, Site("y", plates=site.plates, obs=obs, **made))

    def guide_factor(self, index: int) -> None:
        site, name = self.guide[index], self.parameter("f")
        infer = (("has_rsample", True),)
        feature = self.feature(site)
        self.guide.insert(
            index + 1, Site("extra_q", "factor", (f"{name} * {feature}",), plates=site.plates, infer=infer)
        )

    def beta(self, index: int) -> None:
        name = self.guide[index].name
        for side in (self.model, self.guide):
            self.change(side, name, scale=0.5)

    def latent_mask(self, index: int) -> None:
        site = self.guide[index]
        if not site.plates:
            return
        mask = self.datum("on", "mask", site.plates, 0)
        both, by = self.chance(0.7), self.one(["poutine", "distribution"])
        for side in (self.model, self.guide) if both else (self.one([self.model, self.guide]),):
            self.change(side, site.name, mask=mask, mask_by=by)

    def local_parameter(self, index: int) -> None:
        site = self.guide[index]
        if site.plates != ("data",) or len(self.plates) > 1 or site.size:
            return
        size = self.plates["data"].size
        name = self.parameter("l", size, plate="data")
        self.guide[index] = Site(**(site.__dict__ | {"args": (f"{site.args[0]} + {name}", *site.args[1:])}))

    def missing(self, index: int) -> None:
        name = self.guide[index].name
        if len(self.guide) > 1 and not any(name in site.words() for site in self.guide):
            del self.guide[index]

    def enumerate(self, index: int) -> None:
        """Marked in guide and model, as `config_enumerate` does; who does not enumerate draws it."""
        for side in (self.model, self.guide):
            if self.guide[index].family in ("Bernoulli", "Categorical", "OneHotCategorical"):
                self.change(side, self.guide[index].name, infer=(("enumerate", "parallel"),))

    def deterministic(self, index: int) -> None:
        site = self.guide[index]
        feature = self.feature(site)
        self.guide.insert(index + 1, Site("e", "deterministic", (f"1.0 - {feature}",), plates=site.plates))

    # All of it

    def assemble(self, auto: str) -> Program:
        used = {word for site in self.model + self.guide for word in site.words() | {site.obs, site.mask}}
        data = {name: datum for name, datum in self.data.items() if name in used}
        return Program(
            name=f"seed {self.seed}",
            plates=self.plates,
            model=tuple(self.model),
            guide=tuple(self.guide),
            parameters={name: p for name, p in self.parameters.items() if name in used},
            data=data,
            auto=auto,
            style=self.one(STYLES) if not auto and not self.loops() else "param",
            call=self.one(CALLS) if not auto else "loss_and_grads",
            vectorize=not self.chance(0.5 if self.loops() else 0.08),
            keywords=tuple(list(data)[1:]) if self.chance(0.4) else (),
        )
