"""Independent draws of an estimator's gradient at an oracle's parameters, and the exact ones beside them."""

import torch
from torch import Tensor

from elbolab.graph.replicate import replicate
from elbolab.oracles import Codes
from tests.elbolab.statistics import exact_gradients

PARTS = ("model", "guide")


def gradients(estimator, oracle, count, copies=1) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The loss of `copies` copies of the data, (count,), and its gradients, (count, *parameter); and the exact ones.

    By name. A datum's copies are independent given the parameters: copies * count draws of everything.
    """
    objective = estimator(oracle.model, oracle.guide)
    x = oracle.x.repeat(copies, *[1] * (oracle.x.dim() - 1))
    objective(x)  # validated, and what is lazy learns its size
    # One of the oracles in a loop: a check on what is captured.
    losses, draws = _loop(objective, x, count) if isinstance(oracle, Codes) else replicate(objective, x, count)
    exact = {"loss": -copies * estimator.targets(oracle)[0].sum().detach()}
    for part, target in zip(PARTS, estimator.targets(oracle), strict=True):
        found = exact_gradients(lambda target=target: -copies * target.sum(), getattr(oracle, part))
        exact |= {f"{part}.{name}": gradient for name, gradient in found.items()}
    draws["loss"] = losses
    return {name: draws[name] for name in exact}, exact


def variance(estimator, oracle, count=2000) -> dict[str, Tensor]:
    """The variance of the guide's gradient, coordinate by coordinate."""
    draws, _ = gradients(estimator, oracle, count)
    return {name: draw.var(0) for name, draw in part(draws, "guide").items()}


def part(named, which):
    return {name: value for name, value in named.items() if name.startswith(which)}


def _loop(objective, x, count):
    parameters, losses, found = dict(objective.named_parameters()), [], []
    for _ in range(count):
        loss = objective(x)
        losses.append(loss.detach())
        found.append(torch.autograd.grad(loss, list(parameters.values()), allow_unused=True))
    draws = {
        name: torch.stack([torch.zeros_like(p) if g is None else g for g in column])
        for (name, p), column in zip(parameters.items(), zip(*found, strict=True), strict=True)
    }
    return torch.stack(losses), draws
