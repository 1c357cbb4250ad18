"""Does `reparameterize(mu, s)` draw from the posterior that the KL charges for? Its moments say."""

import inspect
from collections.abc import Callable

import torch
from torch import Tensor

from elbolab.auditing.heads import HEADS
from elbolab.auditing.probe.guard import seed_everything

DRAWS = 40_000
Sampler = Callable[..., Tensor]


def check(reparameterize: Sampler, head: str) -> str:
    """What is wrong with the sampler, or nothing.

    Raises:
        ValueError: it raises, or returns no tensor.
    """
    mu = torch.tensor([-1.5, 0.0, 0.7, 2.0], dtype=torch.float64).expand(DRAWS, 4)
    h = torch.tensor([0.35, 0.8, 1.2, 1.6], dtype=torch.float64).expand(DRAWS, 4)
    z, leaves = _drawn(reparameterize, mu, h)
    return faults_of(z.double().detach(), mu, h, head, z, leaves)


def faults_of(z: Tensor, mu: Tensor, h: Tensor, head: str, of: Tensor, leaves: list[Tensor]) -> str:
    """The first fault of many draws z, (draws, latents), each column of one mu and one head; `of` has the gradients."""
    noise = z - mu
    spread = noise.std(0)
    if spread.max() < 1e-9:
        return "no noise is drawn: z is mu" if noise.abs().max() < 1e-9 else "no noise is drawn: z is always the same"
    wanted = HEADS[head].variance(h[0], torch).sqrt()
    return (
        _off_centre(noise, spread)
        or _off_scale(spread, wanted, h[0], head, len(z))
        or _not_normal(noise / spread)
        or _shared(noise / spread)
        or _no_gradient(of, leaves)
    )


def _drawn(reparameterize: Sampler, mu: Tensor, h: Tensor) -> tuple[Tensor, list[Tensor]]:
    leaves = [mu.clone().requires_grad_(), h.clone().requires_grad_()]
    seed_everything(0)
    try:
        z = reparameterize(*_arguments(reparameterize, [leaf.clone() for leaf in leaves]))
    except Exception as error:
        raise ValueError(f"reparameterize(mu, s) raises {type(error).__name__}: {error}") from error
    z = z[0] if isinstance(z, tuple) else z
    if not isinstance(z, Tensor) or z.shape != mu.shape:
        raise ValueError(f"reparameterize(mu, s) returns {type(z).__name__}, not a tensor of mu's shape")
    return z, leaves


def _arguments(reparameterize: Sampler, given: list[Tensor]) -> list[object]:
    """(mu, s); ((mu, s),) for one parameter, as Keras writes it; (mu, s, e) for three."""
    try:
        parameters = inspect.signature(reparameterize).parameters.values()
    except (TypeError, ValueError):
        return list(given)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind in kinds and p.default is p.empty]
    accepted = [p for p in parameters if p.kind in (*kinds, inspect.Parameter.VAR_POSITIONAL)]
    if len(accepted) == 1 and accepted[0].kind in kinds:
        return [tuple(given)]
    return [*given, torch.randn_like(given[0])] if len(required) == 3 else list(given)


def _off_centre(noise: Tensor, spread: Tensor) -> str:
    means = noise.mean(0) / spread
    worst = means[means.abs().argmax()]
    if worst.abs() < 6 / len(noise) ** 0.5:
        return ""
    return f"z is not centred on mu: the noise has mean {worst:.3g} standard deviations (uniform noise has 1.73)"


def _off_scale(spread: Tensor, wanted: Tensor, h: Tensor, head: str, draws: int) -> str:
    if _equal(spread, wanted, draws):
        return ""
    ratio = spread / wanted
    for other in HEADS.values():
        if _equal(spread, other.variance(h, torch).sqrt(), draws):
            return f"the sampler reads the second head as {other.name}, and the KL charges it as {head}"
    for other in HEADS.values():
        if _equal(spread, other.variance(h, torch), draws):
            return f"the sampler takes the variance of a {other.name} for its standard deviation"
    if _equal(ratio / ratio.mean(), torch.ones_like(ratio), draws):
        return f"the noise's standard deviation is {ratio.mean():.4g} times that which the KL charges for"
    return (
        f"the noise's standard deviation is {ratio.min():.3g} to {ratio.max():.3g} times that which the KL charges for"
    )


def _equal(a: Tensor, b: Tensor, draws: int) -> bool:
    # Six standard errors of a standard deviation of normal draws.
    return bool(((a / b - 1).abs() < 6 / (2 * draws) ** 0.5).all())


def _not_normal(standardised: Tensor) -> str:
    kurtosis = (standardised**4).mean()
    if abs(kurtosis - 3) < 6 * (96 / standardised.numel()) ** 0.5:
        return ""
    return f"the noise is not normal: its kurtosis is {kurtosis:.3g}, not 3 (uniform noise has 1.8)"


def _shared(standardised: Tensor) -> str:
    together = (standardised[:, 0] * standardised[:, 1]).mean().abs()
    return "" if together < 6 / len(standardised) ** 0.5 else "the same noise is used for several latents of a datum"


def _no_gradient(z: Tensor, leaves: list[Tensor]) -> str:
    names = ("mu", "the second head")
    if not z.requires_grad:
        return "no gradient flows through reparameterize: the encoder learns from the KL alone"
    found = torch.autograd.grad((z * torch.randn_like(z)).sum(), leaves, allow_unused=True)
    dead = [name for name, g in zip(names, found, strict=True) if g is None or not g.any()]
    return f"no gradient flows through reparameterize to {' and '.join(dead)}" if dead else ""
