"""Programs as people write them that estimators went wrong on, or could; each named for what is in it."""

from dataclasses import replace

import torch

from tests.elbolab.random_programs.program import Datum, Parameter, Plate, Program, Site, pruned, tensor

DATA = ("data",)
PLATE = {"data": Plate("data", 3)}
X = Datum(tensor([1.3, -0.4, 0.8]), DATA)
BITS = Datum(tensor([1.0, 0.0, 1.0]), DATA)
ON = Datum(torch.tensor([True, False, True]), DATA)
AUXILIARY = (("is_auxiliary", True),)


def _site(name, family, *args, plates=DATA, **more):
    return Site(name, family, args, plates=plates, **more)


def _program(name, model, guide, parameters, plates=PLATE, data=None, **more):
    made = Program(name, plates, tuple(model), tuple(guide), {}, {"x": X} if data is None else data, **more)
    values = {key: Parameter(tensor(value)) for key, value in parameters.items()}
    return replace(pruned(replace(made, parameters=values)), data=made.data)


def _bit(*extra, guide=(), **more):
    """A bit per datum that moves a normal's mean."""
    parameters = {"p": 0.2, "m": -0.3, "w": 2.0, "q": 0.3, "f": 0.7}
    model = [_site("z", "Bernoulli", "p"), *extra, _site("x", "Normal", "m + w * z", "torch.tensor(0.7)", obs="x")]
    return _program(model=model, guide=[_site("z", "Bernoulli", "q"), *guide], parameters=parameters, **more)


def _normal(*extra, guide=None, **more):
    """A normal per datum with a linear likelihood."""
    parameters = {"p": 0.2, "m": -0.3, "w": 1.4, "q": 0.3, "s": -0.5, "f": 0.7}
    model = [
        _site("z", "Normal", "p", "torch.tensor(1.0)"),
        *extra,
        _site("x", "Normal", "m + w * z", "torch.tensor(0.7)", obs="x"),
    ]
    return _program(model=model, guide=guide or [_site("z", "Normal", "q", "s.exp()")], parameters=parameters, **more)


def _global(family, plates=PLATE, **more):
    """One latent for all data."""
    prior, q = ("p", "torch.tensor(1.0)"), ("q", "s.exp()")
    args = (prior, q) if family == "Normal" else (prior[:1], q[:1])
    parameters = {"p": 0.2, "m": -0.3, "w": 1.4, "q": 0.3, "s": -0.5}
    model = [
        _site("z", family, *args[0], plates=()),
        _site("x", "Normal", "m + w * z", "torch.tensor(0.9)", obs="x"),
    ]
    guide = [_site("z", family, *args[1], plates=())]
    return _program(model=model, guide=guide, parameters=parameters, plates=plates, **more)


def _vector(**more):
    """A vector of normals for all data."""
    parameters = {"p": [0.2, -0.3], "m": -0.3, "w": 1.4, "q": [0.3, 0.8], "s": -0.5}
    return _program(
        model=[
            _site("z", "Normal", "p", "torch.tensor(1.0)", plates=(), size=2),
            _site("x", "Normal", "m + w * (z @ c2)", "torch.tensor(0.9)", obs="x"),
        ],
        guide=[_site("z", "Normal", "q", "s.exp()", plates=(), size=2)],
        parameters=parameters,
        **more,
    )


def _pair(first, second, order, weight):
    """Two latents in a chain; the guide draws them in some order, the second given the first with a weight."""
    one, two = order
    families = {"a": first, "b": second}
    spread = {name: ("torch.tensor(0.8)",) if family == "Normal" else () for name, family in families.items()}
    model = [
        _site("a", first, "p", *spread["a"]),
        _site("b", second, "r + v * a", *spread["b"]),
        _site("x", "Normal", "m + w * b + w * a", "torch.tensor(0.9)", obs="x"),
    ]
    guide = [
        _site(one, families[one], "q", *spread[one]),
        _site(two, families[two], f"t + u * {one}", *spread[two]),
    ]
    values = {"p": 0.2, "r": -0.4, "v": 1.1, "m": -0.3, "w": 1.4, "q": 0.3, "t": 0.5, "u": weight}
    kind = "zero weight" if not weight else "weight"
    name = f"{first} {order[0]} then {second} {order[1]}, {kind}"
    return _program(name=name, model=model, guide=guide, parameters=values)


def _changed(program, name, **keys):
    """Both sides' latent z with other attributes."""
    sides = [tuple(replace(s, **keys) if s.name == "z" else s for s in side) for side in (program.model, program.guide)]
    return replace(program, name=name, model=sides[0], guide=sides[1])


def _flow():
    guide = (
        _site("u", "Normal", "q", "s.exp()", infer=AUXILIARY),
        _site("z", "Delta", "f + p.exp() * u", "-p * torch.ones_like(u)"),
    )
    return _normal(name="flow by hand", guide=guide)


def _obs_mask(guide_mask):
    name = f"obs_mask, the guide {'masked' if guide_mask else 'not masked'}"
    missing = _site("x_unobserved", "Normal", "f", "torch.tensor(0.8)", mask="off" if guide_mask else "")
    drawn = _site("z", "Normal", "q", "s.exp()")
    base = _normal(name=name, guide=(drawn, missing), data={"x": X, "on": ON, "off": Datum(~ON.value, DATA)})
    return replace(base, model=(base.model[0], replace(base.model[1], mask="on", mask_by="obs_mask")))


def _weights():
    weights = Datum(tensor([0.5, 2.0, 1.0]), DATA)
    base = _bit(name="a weight for every datum", data={"x": X, "weights": weights})
    sides = [tuple(replace(site, scale="weights") for site in side) for side in (base.model, base.guide)]
    return replace(base, model=sides[0], guide=sides[1])


def _shared():
    return _normal(name="a parameter of model and guide", guide=(_site("z", "Normal", "p + q", "s.exp()"),))


def _lacking():
    pair = _pair("Normal", "Normal", "ab", 0.7)
    return pruned(replace(pair, name="a latent that the guide lacks", guide=pair.guide[:1]))


def _chosen(program, **choice):
    """The guide says which estimator a site wants, for those that ask."""
    guide = tuple(
        replace(site, infer=(("estimator", choice[site.name]),)) if site.name in choice else site
        for site in program.guide
    )
    return replace(program, guide=guide, name=f"{program.name}, {', '.join(choice.values())}")


SUBSAMPLED = {"data": Plate("data", 3, subsample=2)}
ONE = {"data": Plate("data", 1)}
FACTOR = _site("extra", "factor", "f", plates=())
CONDITION = """

inner = model
model = lambda x: poutine.condition(inner, {"x": x})(x)


def guide"""
SUM = (("(z @ c2)", "(z * c2).sum()"),)

LANDMARKS = [
    _bit(_site("d", "deterministic", "3.0 * z"), name="a deterministic site that tells z"),
    *(_pair("Bernoulli", "Bernoulli", "ab", weight) for weight in (0.0, 1.5)),
    _pair("Bernoulli", "Bernoulli", "ba", 0.0),
    *(_pair("Normal", "Normal", order, weight) for order in ("ab", "ba") for weight in (0.0, 0.7)),
    _pair("Bernoulli", "Normal", "ab", 0.7),
    _pair("Normal", "Bernoulli", "ab", 0.0),
    *(
        _chosen(_pair(*families, order, 0.7), **choice)
        for families, order, choice in (
            (("Bernoulli", "Bernoulli"), "ab", {"a": "Enumeration", "b": "RLOO"}),
            (("Bernoulli", "Bernoulli"), "ab", {"a": "REINFORCE", "b": "Enumeration"}),
            (("Bernoulli", "Normal"), "ab", {"a": "Enumeration", "b": "StickingTheLanding"}),
            (("Bernoulli", "Normal"), "ba", {"a": "Enumeration", "b": "StickingTheLanding"}),
            (("Normal", "Bernoulli"), "ab", {"a": "StickingTheLanding", "b": "REINFORCE"}),
            (("Normal", "Bernoulli"), "ba", {"a": "REINFORCE", "b": "RLOO"}),
        )
    ),
    _flow(),
    _normal(name="a Delta in the guide", guide=(_site("z", "Delta", "q"),)),
    _global("Normal", plates=SUBSAMPLED, name="a latent for all of a subsample"),
    _global("Bernoulli", name="a bit for all data"),
    _bit(FACTOR, name="bits, a factor outside of the plate"),
    _normal(FACTOR, _site("d", "deterministic", "2.0 * f", plates=()), name="a factor and a site outside of the plate"),
    _lacking(),
    _global(
        "Normal",
        name="data outside of a plate",
        patches=(("    with data:\n        pyro", "    if True:\n        pyro"),),
        must_refuse="as many data as particles are taken for particles",
    ),
    _obs_mask(True),
    _obs_mask(False),
    _changed(_bit(name="", data={"x": X, "on": ON}), "a latent that is masked", mask="on", mask_by="distribution"),
    _changed(_normal(name=""), "a latent of little weight", scale=0.2),
    _changed(_bit(name=""), "bits of little weight", scale=0.2),
    _vector(name="a sum over particles, not vectorised", vectorize=False, patches=SUM),
    _vector(name="a sum over particles", patches=SUM),
    _bit(name="bits that are compared", patches=(("w * z", "w * (z > 0.5).double()"),)),
    _bit(name="bits that are rounded", patches=(("w * z", "w * z.round()"),)),
    _bit(name="bits as an index", patches=(("m + w * z", "torch.stack([m, m + w])[z.long()]"),)),
    _program(
        name="no data in the plate",
        model=[_site("z", "Bernoulli", "p"), _site("extra", "factor", "f * z")],
        guide=[_site("z", "Bernoulli", "q")],
        parameters={"p": 0.2, "q": 0.3, "f": 0.7},
    ),
    _weights(),
    _bit(guide=[_site("u", "Bernoulli", "f")], name="a latent of the guide alone"),
    _bit(guide=[_site("u", "Bernoulli", "f", infer=AUXILIARY)], name="an auxiliary of the guide"),
    _bit(guide=[_site("y", "Bernoulli", "f * z", obs="y")], name="bits, data in the guide", data={"x": X, "y": BITS}),
    _shared(),
    _normal(name="one datum", plates=ONE, data={"x": Datum(tensor([1.3]), DATA)}),
    _bit(name="bits of one datum", plates=ONE, data={"x": Datum(tensor([1.3]), DATA)}),
    _bit(name="config_enumerate", patches=(("def guide(x", "@pyro.infer.config_enumerate\ndef guide(x"),)),
    _normal(name="a plate without a dim", patches=((", dim=-1", ""),)),
    _normal(
        name="data by poutine.condition",
        patches=((", obs=x", ""), ("\n\ndef guide", CONDITION)),
    ),
]
