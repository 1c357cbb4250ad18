"""Every prior, likelihood and posterior that a page offers computes in a browser what it computes in Python."""

import pytest
import torch
from torch import nn

import guide.posteriors
import model.priors
from elbolab.report.constants import Constants
from elbolab.report.noise import Noise
from elbolab.report.page import page
from elbolab.report.program import NoJavaScript, program
from elbolab.validation import unvalidated
from guide.posteriors import DiagonalNormal
from model import MLP, Convolutional, Residual
from tests import browser
from tests.elbolab.report.test_javascript import BENCH
from tests.test_matrix import DATA, FITS, LIKELIHOODS
from training.catalogue import CHOICES

pytestmark = pytest.mark.browser
SHAPE, LATENT = (2, 3), 4
# What no page can draw or score, and why: an operation without JavaScript, or a program that reads values.
REFUSED = {"prior StudentT draw", "prior AutoregressiveFlow draw", "prior SplineFlow draw", "prior SplineFlow score"}


def functions():
    """By name: a function of tensors, and examples of its arguments."""
    x = torch.rand(1, *SHAPE, dtype=torch.float64)
    for cls in CHOICES["guide"]:
        q = cls(SHAPE, LATENT, MLP(8)).double()

        def draw(x, q=q):
            found = q(x)
            z = found.rsample() if found.has_rsample else found.sample()
            return z, found.log_prob(z)

        yield f"guide {cls.__name__}", draw, {"x": x}
    for cls in CHOICES["prior"]:
        p = cls(LATENT).double()
        p.prepare(DiagonalNormal(SHAPE, LATENT, MLP(8)).double(), torch.rand(120, *SHAPE))
        p.double()
        yield f"prior {cls.__name__} score", lambda z, p=p: p().log_prob(z), {"z": p().sample()[None]}
        yield f"prior {cls.__name__} draw", lambda p=p: p().sample(), {}
    for cls in LIKELIHOODS:
        datum = torch.as_tensor(DATA[FITS[cls.__name__]][:1]).double()
        part = cls(LATENT, datum.shape[1:], MLP(8)).double()
        part.prepare(datum)
        z = torch.randn(1, LATENT, dtype=torch.float64)
        scored = {"z": z, "x": datum}
        yield f"likelihood {cls.__name__}", lambda z, x, part=part: (part(z).log_prob(x), part(z).mean), scored
    for family in (Convolutional(8, channels=4), Residual(8, channels=4)):
        name, x = type(family).__name__, torch.rand(1, 3, 8, 8, dtype=torch.float64)
        yield f"encoder {name}", family.encoder((3, 8, 8), 6).double(), {"x": x}
        yield f"decoder {name}", family.decoder(3, (2, 3, 8, 8)).double(), {"z": x[0, 0, :1, :3]}
    for layer in (nn.GELU(), nn.GELU("tanh"), nn.ELU(), nn.SiLU(), nn.LeakyReLU(), nn.Hardtanh(), nn.LayerNorm(6)):
        yield str(layer), layer.double(), {"x": 4 * torch.randn(1, 6, dtype=torch.float64)}


def test_every_part_computes_what_python_computes(tmp_path):
    browser.chromium()
    assert model.priors
    assert guide.posteriors
    constants, programs, cases, refused = Constants(), {}, {}, {}
    with unvalidated(), torch.no_grad():
        for name, function, examples in functions():
            try:
                programs[name] = program(function, constants, **examples)
            except NoJavaScript as error:
                refused[name] = str(error)
                continue
            noise = Noise(5)
            found = programs[name].run(constants.values, *examples.values(), noise=noise)
            cases[name] = (list(examples.values()), noise.values, found)
            if not programs[name].random:
                expected = function(*examples.values())
                torch.testing.assert_close(found[0], (expected if isinstance(expected, tuple) else (expected,))[0])
    assert refused.keys() <= REFUSED, refused
    text, index = constants.packed()
    data = {"constants": index, "programs": {name: one.as_dict() for name, one in programs.items()}}
    (tmp_path / "bench.html").write_text(page("bench", "", BENCH, data, text), encoding="utf-8")
    with browser.started() as started:
        opened = browser.Page(started, tmp_path / "bench.html")
        for name, (inputs, noise, expected) in cases.items():
            given = [{"shape": list(t.shape), "values": t.flatten().double().tolist()} for t in inputs]
            found = opened.evaluate("(given) => bench.run(...given)", [name, given, noise])
            for one, other in zip(found, expected, strict=True):
                assert one["shape"] == list(other.shape), name
                values = torch.tensor([float(value) for value in one["values"]], dtype=torch.float64)
                torch.testing.assert_close(values, other.double().flatten(), rtol=1e-9, atol=1e-9, msg=name)
