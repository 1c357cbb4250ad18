"""How good the parameters are, and what is wrong with them where a step is not finite."""

import math
from collections.abc import Iterator

import pyro
import torch
from torch import Tensor
from torch.distributions import Independent, kl_divergence

from elbolab import evidence
from elbolab.graph.capture import generators_kept
from training.experiment import Experiment

# How much worse than the untrained parameters, in shares of their score, is called diverged.
_DIVERGED = 10.0


def scores(lab: Experiment) -> dict[str, float]:
    """One draw per test datum, the same draws every time, in nats; the training's generators are left as they were."""
    lab.objective.eval()
    with generators_kept(lab.device):
        pyro.set_rng_seed(lab.seed)
        found = evidence(lab.model, lab.guide, lab.dataset.test, samples=1)
    lab.objective.train()
    return {
        "test_loss": -found.elbo.mean().item(),
        "test_rate": found.rate.mean().item(),
        "test_distortion": found.distortion.mean().item(),
    }


def diverged(score: float, untrained: float | None) -> bool:
    """Whether training has made it much worse than it was before the first step."""
    if not math.isfinite(score):
        return True
    return untrained is not None and score - untrained > _DIVERGED * max(abs(untrained), 1.0)


def diagnosis(lab: Experiment, index: Tensor) -> str:
    """Which term of the loss on these data is not finite, or which gradient, and the largest parameter."""
    with generators_kept(lab.device):
        wrong = "; ".join(_terms(lab, index)) or "; ".join(_gradients(lab, index)) or "with other draws it is finite"
    name, value = max(_sizes(lab), key=lambda pair: pair[1])
    return f"{wrong}; the largest parameter is {name}, {value:.2g}"


@torch.no_grad()
def _terms(lab: Experiment, index: Tensor) -> Iterator[str]:
    x = lab.dataset.batch(index)
    q, p = lab.guide.posterior(x), lab.model.prior()
    z = q.sample()
    reconstruction, rate = -lab.model.decode(z).log_prob(x), q.log_prob(z) - p.log_prob(z)
    if not z.isfinite().all():
        yield "draws of z are not finite"
    if not reconstruction.isfinite().all():
        yield f"the reconstruction term -log p(x|z) is {_first(reconstruction)}"
    if not rate.isfinite().all():
        coordinate = _coordinate(q, p)
        yield f"the KL term log q(z|x) - log p(z) is {_first(rate)}" + (
            "" if coordinate is None else f", z[{coordinate}]"
        )


def _first(values: Tensor) -> float:
    """The first that is not finite."""
    return values[~values.isfinite()][0].item()


def _coordinate(q: torch.distributions.Distribution, p: torch.distributions.Distribution) -> int | None:
    """The first coordinate of z whose own KL is not finite, where coordinates have one."""
    if not (isinstance(q, Independent) and isinstance(p, Independent)):
        return None
    try:
        each = kl_divergence(q.base_dist, p.base_dist)
    except NotImplementedError:
        return None
    broken = (~each.isfinite()).reshape(-1, each.shape[-1]).any(0).nonzero()
    return int(broken[0]) if len(broken) else None


def _gradients(lab: Experiment, index: Tensor) -> Iterator[str]:
    parameters = dict(lab.objective.named_parameters())
    lab.objective.zero_grad()
    (lab.objective(lab.dataset.batch(index)) / len(index)).backward()
    for name, parameter in parameters.items():
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            yield f"the loss is finite, its gradient for {name} is not"
            return


def _sizes(lab: Experiment) -> Iterator[tuple[str, float]]:
    for name, parameter in lab.objective.named_parameters():
        yield name, parameter.detach().abs().max().item() if parameter.numel() else 0.0
