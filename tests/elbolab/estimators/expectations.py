"""The expectation of an estimator without drawing: a sum over everything that the guide could have drawn."""

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger

from tests.elbolab.replicates import PARTS
from tests.elbolab.statistics import exact_gradients


class Given(Messenger):
    """Latents have the values that are given, as if they had been drawn."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def _pyro_sample(self, msg):
        if msg["type"] == "sample" and not msg["is_observed"] and not poutine.util.site_is_subsample(msg):
            msg["value"], msg["done"] = self.value, True


def all_values(oracle):
    """Every value of the oracle's latent, in the order of its densities."""
    if hasattr(oracle, "z"):
        return oracle.z
    count = len(oracle.log_q())
    return torch.eye(count, dtype=torch.float64) if hasattr(oracle.model, "output") else torch.arange(2.0).double()


def expectation(estimator, oracle):
    """E of the loss and of its gradients by name, over all tuples of particles; and the exact ones.

    Every tuple is a copy of the data, and has the probability of its particles; what else an estimator draws has to be
    without a part in it.
    """
    values, density, count = all_values(oracle), oracle.log_density().exp().detach(), estimator.particles
    tuples = torch.cartesian_prod(*[torch.arange(len(values))] * count).reshape(-1, count)
    batch = len(oracle.x)
    x = oracle.x.repeat_interleave(len(tuples), 0)
    drawn = values[tuples.T.repeat(1, batch)]
    weight = density[tuples].prod(1).T.flatten()
    estimator.sampler = lambda: Given(drawn if count > 1 else drawn[0])
    bound, surrogate = estimator.estimate(estimator.draw(oracle.model, oracle.guide, (x,), {}))
    found = {"loss": -(weight * bound).sum().detach()}
    for which in PARTS:
        gradients = exact_gradients(lambda: -(weight * surrogate).sum(), getattr(oracle, which))
        found |= {f"{which}.{name}": value for name, value in gradients.items()}
    return found, exact(estimator, oracle)


def exact(estimator, oracle):
    """The loss that is meant and its gradients by name."""
    found = {"loss": -estimator.targets(oracle)[0].sum().detach()}
    for which, target in zip(PARTS, estimator.targets(oracle), strict=True):
        gradients = exact_gradients(lambda target=target: -target.sum(), getattr(oracle, which))
        found |= {f"{which}.{name}": value for name, value in gradients.items()}
    return found


def off(found, exact):
    """The largest difference relative to the norm of what should be, by parts."""
    result = {}
    for which in ("loss", *PARTS):
        pairs = [(found[name].flatten(), exact[name].flatten()) for name in exact if name.startswith(which)]
        one, other = (torch.cat(column) for column in zip(*pairs, strict=True))
        result[which] = ((one - other).norm() / other.norm()).item()
    return result
