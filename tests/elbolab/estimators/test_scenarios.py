"""Through SVI and the parameter store, on programs as people write them; the gradients are known by hand.

z ~ N(0, 1), x ~ N(z, 1), q = N(loc, scale) at loc = 0, scale = 1: d loss / d loc = -x, d loss / d scale = 1 a datum.
"""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI
from pyro.optim import Adam

from elbolab import NVIL, REINFORCE, RLOO, MovingAverage, Pathwise, PathwiseAnalyticKL, StickingTheLanding
from tests.elbolab.example_programs import ScoreNormal
from tests.elbolab.statistics import worst

DATA = torch.tensor([-0.5, 2.0])
EXACT = {"loc": torch.tensor([0.5, -2.0]), "scale": torch.tensor([2.0])}
SCORE = (REINFORCE, MovingAverage, NVIL, RLOO)
CASES = [(cls, dist.Normal) for cls in (Pathwise, PathwiseAnalyticKL, StickingTheLanding, *SCORE)]
CASES += [(cls, ScoreNormal) for cls in SCORE]


def programs(normal, size, outside):
    """The model and the guide; `outside` the plate there may be latents that matter to nobody."""

    def aside(name, *parameters):
        if outside:
            pyro.sample(name, normal(*map(torch.tensor, parameters)))

    def model(subsample):
        aside("before", 0.0, 1.0)
        with pyro.plate("data", 2, size, subsample) as index:
            z = pyro.sample("z", normal(torch.tensor(0.0), torch.tensor(1.0)))
            aside("after", 2.0, 3.0)
            pyro.sample("x", dist.Normal(z, 1.0), obs=DATA[index])

    def guide(subsample):
        loc, scale = pyro.param("loc", torch.zeros(2)), pyro.param("scale", torch.ones(1))
        with pyro.plate("data", 2, size, subsample) as index:
            aside("after", 2.0, 3.0)
            pyro.sample("z", normal(loc[index], scale))
        aside("before", 0.0, 1.0)

    return model, guide


def gradients(cls, normal, size, outside, repeats=40):
    model, guide = programs(normal, size, outside)
    inference = SVI(model, guide, Adam({"lr": 0.1}), cls(2500))
    subsamples = [torch.tensor([0, 1])] if size == 2 else [torch.tensor([0]), torch.tensor([1])]
    found = {name: [] for name in EXACT}
    for _ in range(repeats):
        for subsample in subsamples:
            inference.loss_and_grads(model, guide, subsample)
        for name in EXACT:
            parameter = pyro.get_param_store()._params[name]
            found[name].append(parameter.grad / len(subsamples))
            parameter.grad = None
    return {name: torch.stack(rows) for name, rows in found.items()}


@pytest.mark.parametrize("outside", [False, True], ids=["inside", "outside"])
@pytest.mark.parametrize("size", [2, 1], ids=["full", "subsample"])
@pytest.mark.parametrize(("cls", "normal"), CASES, ids=lambda v: v.__name__)
def test_known_gradients(cls, normal, size, outside):
    draws = {name: rows.double() for name, rows in gradients(cls, normal, size, outside).items()}
    found, bound = worst(draws, {name: value.double() for name, value in EXACT.items()})
    assert found < bound
    found, bound = worst(draws, {name: 1.1 * value.double() for name, value in EXACT.items()})
    assert found > bound, "10 % off is seen"


@pytest.mark.parametrize("cls", [Pathwise, PathwiseAnalyticKL, StickingTheLanding])
def test_latents_without_a_path_are_refused(cls):
    with pytest.raises(ValueError, match="Estimators for it: .*REINFORCE"):
        gradients(cls, ScoreNormal, 2, False, repeats=1)
