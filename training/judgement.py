"""How good the parameters are, and what is wrong with them where a step is not finite."""

import math
from collections.abc import Iterator
from typing import Any

import pyro
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, kl_divergence

from elbolab import evidence
from elbolab.graph.capture import generators_kept
from training.experiment import Experiment
from training.state import State

# How much worse than the untrained parameters, in shares of their score, is called diverged.
_DIVERGED = 10.0
_BLOCK = 1000  # data at a time
_MOST_LATENTS = 256


def scores(lab: Experiment) -> dict[str, float]:
    """-ELBO of the validation split or, without one, the test set, with its halves, in nats per datum.

    One draw per datum, the same draws every time; the training's generators are left as they were.
    """
    split, x = lab.dataset.judged
    lab.objective.eval()
    with generators_kept(lab.device):
        pyro.set_rng_seed(lab.seed)
        found = evidence(lab.model, lab.guide, x, samples=1)
    lab.objective.train()
    return {
        f"{split}_loss": -found.elbo.mean().item(),
        f"{split}_rate": found.rate.mean().item(),
        f"{split}_distortion": found.distortion.mean().item(),
    }


def row(lab: Experiment, state: State, per_epoch: int) -> dict[str, Any]:
    """What an epoch has come to, a line of the history; the next one starts from nothing."""
    return {
        "epoch": state.step // per_epoch,
        "step": state.step,
        "loss": state.mean(len(lab.dataset.train)),
        "gradient_norm": state.gradient_norm(per_epoch),
        "lr": state.optimizer.param_groups[0]["lr"],
        "beta": lab.model.beta.item(),
        **scores(lab),
        **of_latents(lab),
    }


def of_latents(lab: Experiment) -> dict[str, list[float]]:
    """KL(q || p) of every coordinate of z in nats, the mean over the data that the run is judged on, as `kl`.

    Nothing where coordinates have no KL of their own in closed form, or are more than 256: a history keeps its size.
    """
    _, x = lab.dataset.judged
    lab.objective.eval()
    with generators_kept(lab.device), torch.no_grad():
        blocks = [kl_of_coordinates(lab.guide.posterior(block), lab.model.prior()) for block in x.split(_BLOCK)]
    lab.objective.train()
    known = [block for block in blocks if block is not None]
    if not known or known[0].shape[-1] > _MOST_LATENTS:
        return {}
    return {"kl": torch.cat(known).double().mean(0).tolist()}


def kl_of_coordinates(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q || p) of every coordinate, shape (*batch, latent), where they are independent in both; else None."""
    if not (isinstance(q, Independent) and isinstance(p, Independent)):
        return None
    try:
        # PyTorch's KL of bits does not broadcast.
        return torch.as_tensor(kl_divergence(q.base_dist, p.base_dist.expand(q.base_dist.batch_shape)))
    except NotImplementedError:
        return None


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


def _coordinate(q: Distribution, p: Distribution) -> int | None:
    """The first coordinate of z whose own KL is not finite, where coordinates have one."""
    each = kl_of_coordinates(q, p)
    if each is None:
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
