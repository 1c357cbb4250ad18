"""Is the mean of these draws what it should be? z-scores of every coordinate, and how large they may be by chance."""

from collections.abc import Callable, Mapping

import torch
from scipy import stats
from torch import Tensor, nn

FALSE_ALARM = 1e-5  # of a whole comparison, however many coordinates it has


def worst(draws: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> tuple[float, float]:
    """The largest |z| over all coordinates of independent draws, (n, *shape) each, and its bound (Bonferroni).

    A coordinate that does not vary has to be exact to 1e-9, relative to what it is.
    """
    assert set(draws) == set(exact), "the same parameters in both"
    scores = torch.cat([_scores(draws[name].double(), exact[name].double()) for name in exact])
    count = min(len(draws[name]) for name in exact)
    return scores.max().item(), float(stats.t.isf(FALSE_ALARM / 2 / len(scores), count - 1))


def _scores(draws: Tensor, exact: Tensor) -> Tensor:
    assert draws.shape[1:] == exact.shape, f"{draws.shape[1:]} is not {exact.shape}"
    off = (draws.mean(0) - exact).abs().flatten()
    error = (draws.std(0) / len(draws) ** 0.5).flatten()
    size = 1e-9 * (1 + exact.abs().flatten())
    return torch.where(error > size, off / error, torch.where(off > size, torch.inf, 0.0)).nan_to_num(nan=torch.inf)


def exact_gradients(objective: Callable[[], Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The gradient of a function of a module's parameters, by name; 0 where it does not depend on one."""
    names, parameters = zip(*module.named_parameters(), strict=True)
    gradients = torch.autograd.grad(objective(), parameters, allow_unused=True, retain_graph=True)
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for name, parameter, gradient in zip(names, parameters, gradients, strict=True)
    }
