"""The table of all estimators against the classes: what they ask, bias, bound, and decoder evaluations as counted."""

import inspect
import re
from pathlib import Path

import pytest
import torch

from elbolab import estimators
from elbolab.estimators.base import Estimator, concrete
from elbolab.estimators.conditions import SMOOTH, WHOLE_DATA
from elbolab.oracles import Bits, Codes, NormalNormal

PAGE = (Path(__file__).parents[3] / "docs/how-to/choose-an-estimator.md").read_text()
ROWS = {
    name: tuple(cell.replace("\\|", "|").strip() for cell in cells)
    for name, *cells in re.findall(
        r"^\| (\w+) \| (.*?) \| (.*?) \| (biased|unbiased) \| (.*?) \| ([^|]*?) \|$", PAGE, re.MULTILINE
    )
}
CLASSES = {
    cls.__name__: cls
    for cls in (getattr(estimators, name) for name in estimators.__all__)
    if cls in concrete(Estimator)
}


def test_all_are_there():
    assert set(ROWS) == set(CLASSES) == set(estimators.__all__) - {"Estimator", "Estimate"}


@pytest.mark.parametrize("name", CLASSES)
def test_a_row_is_what_the_class_says(name):
    cls, (paper, asks, bias, bound, _) = CLASSES[name], ROWS[name]
    said_above = (WHOLE_DATA, SMOOTH)
    assert asks == ("; ".join(c.words for c in cls.conditions if c not in said_above) or "nothing")
    assert (SMOOTH in cls.conditions) == ("(rsample)" in asks or name in ("REBAR", "RELAX"))
    assert (bias == "unbiased") == cls.unbiased
    assert bound == re.sub(r"-(5|10)\b", "-K", cls().bound)
    module = inspect.getdoc(inspect.getmodule(cls)) or ""
    said = re.findall(r"arXiv\s+(\d+\.\d+)", inspect.getdoc(cls) or "") or re.findall(r"arXiv\s+(\d+\.\d+)", module)
    assert not said or said[0] in paper


class Counting(torch.nn.Module):
    """How many particles the decoder has seen."""

    def __init__(self, oracle):
        super().__init__()
        self.program, self.count = oracle.model, 0

        def seen(z):
            self.count += 1 if z.dim() < 1 + (2 if hasattr(oracle.model, "output") else 1) else len(z)

        own = oracle.model.output if hasattr(oracle.model, "output") else oracle.model.likelihood

        def likelihood(z):
            seen(z)
            return own(z)

        self.program.__dict__["output" if hasattr(oracle.model, "output") else "likelihood"] = likelihood

    def forward(self, x):
        self.program(x)


@pytest.mark.parametrize("name", CLASSES)
def test_the_decoder_is_run_so_often(name):
    cls = CLASSES[name]
    latents = {
        "bits": torch.distributions.Bernoulli(0.5),
        "codes": torch.distributions.OneHotCategorical(torch.ones(4)),
    }
    served = next((kind for kind, q in latents.items() if cls.serves_latent(q)), "normal")
    oracle = {"bits": Bits, "codes": Codes, "normal": NormalNormal}[served]()
    particles = 3
    estimator = cls(particles).double()
    objective = estimator(oracle.model, oracle.guide)
    objective(oracle.x)
    model = Counting(oracle)
    estimator(model, oracle.guide)(oracle.x)  # which reads the new programs
    model.count = 0
    estimator(model, oracle.guide)(oracle.x).backward()
    sizes = {
        "K": particles,
        "M": getattr(estimator, "batches", 1),
        "S": getattr(estimator, "samples", 1),
        "D": 3,
        "V": 1,
    }
    formula = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", ROWS[name][-1]).replace("^", "**")
    assert model.count == eval(formula, sizes)
