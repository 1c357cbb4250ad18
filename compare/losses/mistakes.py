"""9. The mistakes that are made with this loss, each run and priced: in nats, and in the beta that it amounts to.

Every entry is a loss as somebody writes it, on one pass of the auto-encoder, in whatever scale it comes. Its gradient
with respect to the decoder's logits and the encoder's heads is split into a part along the reconstruction's and a part
along the KL's gradient, loss ~ a reconstruction + b KL: beta = b / a. What is left over is not any beta-ELBO.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pyro.distributions import ContinuousBernoulli
from torch import Tensor

from compare import handwritten
from compare.losses.case import Case, Drawn
from compare.losses.rows import Row

Loss = Callable[[Drawn], Tensor]
LEAST = 1e-3  # what a mistake must change, in its gradient's direction or in nats, to be one


def _bce(d: Drawn) -> Tensor:
    return handwritten.cross_entropy(d.logits, d.x)


def _kl(d: Drawn) -> Tensor:
    return handwritten.kl(d.m, d.s)


@dataclass(frozen=True)
class Mistake:
    """A loss; the beta that it must amount to, where sizes tell: (pixels, latents, batch); what it should have been."""

    name: str
    loss: Loss
    beta: Callable[[int, int, int], float] | None = None
    right: Loss = _bce  # the reconstruction; the KL is always the same


def _with_noise(scale: Callable[[Tensor], Tensor]) -> Loss:
    """The loss with z drawn at another scale than the one whose KL is charged."""

    def loss(d: Drawn) -> Tensor:
        return (handwritten.cross_entropy(d.decode(d.m + scale(d.s) * d.e), d.x) + _kl(d)).mean()

    return loss


def _clamped(d: Drawn) -> Tensor:
    y = torch.sigmoid(d.logits).clamp(0.4, 0.6)  # wide, so that a fresh model meets it too; 1e-7 does it later
    return (F.binary_cross_entropy(y, d.x, reduction="none").flatten(1).sum(1) + _kl(d)).mean()


def _one_sided(d: Drawn) -> Tensor:
    return (_bce(d) + 4 * handwritten.gaussian_cross_entropy(d.m, d.s) - handwritten.entropy(d.s)).mean()


def _ragged(d: Drawn) -> Tensor:
    each, last = _bce(d) + _kl(d), max(1, len(d.x) // 8)
    return 0.5 * (each[:-last].mean() + each[-last:].mean())


def _grey(x: Tensor) -> Tensor:
    return 0.1 + 0.8 * x


def _grey_bce(d: Drawn) -> Tensor:
    return (handwritten.cross_entropy(d.logits, _grey(d.x)) + _kl(d)).mean()


def _grey_density(d: Drawn) -> Tensor:
    return -ContinuousBernoulli(logits=d.logits).log_prob(_grey(d.x)).flatten(1).sum(1)


def _as_variance(d: Drawn) -> Tensor:
    v = F.softplus(d.s)
    return (_bce(d) - 0.5 * (1 + v.log() - d.m**2 - v).sum(-1)).mean()


MISTAKES = (
    Mistake("BCE: mean over pixels", lambda d: (_bce(d) / d.x[0].numel() + _kl(d)).mean(), lambda p, k, b: p),
    Mistake(
        "BCE: mean over all, KL: sum over all",
        lambda d: _bce(d).mean() / d.x[0].numel() + _kl(d).sum(),
        lambda p, k, b: p * b,
    ),
    Mistake("BCE: sum over all, KL: batch mean", lambda d: _bce(d).sum() + _kl(d).mean(), lambda p, k, b: 1 / b),
    Mistake("KL: mean over latents", lambda d: (_bce(d) + _kl(d) / d.m.shape[-1]).mean(), lambda p, k, b: 1 / k),
    Mistake("KL: sign turned", lambda d: (_bce(d) - _kl(d)).mean(), lambda p, k, b: -1),
    Mistake("KL: one half missing", lambda d: (_bce(d) + 2 * _kl(d)).mean(), lambda p, k, b: 2),
    Mistake("KL: log-variance read as log-std", lambda d: (_bce(d) + handwritten.kl_of_log_deviation(d.m, d.s)).mean()),
    Mistake("KL: head read as a variance", _as_variance),
    Mistake("beta = 4 on the prior's side alone", _one_sided),
    Mistake("noise scaled by exp(s), not exp(s/2)", _with_noise(torch.exp)),
    Mistake("z = mean (as at test time)", _with_noise(torch.zeros_like)),
    Mistake("noise of std 0.01", _with_noise(lambda s: torch.full_like(s, 0.01))),
    Mistake("probabilities clamped", _clamped),
    Mistake("sigmoid twice", lambda d: (handwritten.cross_entropy(torch.sigmoid(d.logits), d.x) + _kl(d)).mean()),
    Mistake("grey pixels in BCE", _grey_bce, right=_grey_density),
    Mistake("ragged last batch, mean of means", _ragged),
)


def mistakes(case: Case) -> list[Row]:
    """9. Common mistakes: what each reports, its price against the ELBO, and the beta that it amounts to."""
    return [_price(case, mistake) for mistake in MISTAKES]


def _price(case: Case, mistake: Mistake) -> Row:
    def value_and_gradient(loss: Loss) -> tuple[Tensor, Tensor]:
        return case.gradient(lambda: len(case.x) * loss(case.by_hand()))  # `gradient` divides by the batch

    reconstruction, basis_r = value_and_gradient(lambda d: mistake.right(d).mean())
    kl, basis_k = value_and_gradient(lambda d: _kl(d).mean())
    value, gradient = value_and_gradient(mistake.loss)
    basis = torch.stack([basis_r, basis_k], 1)
    a, b = torch.linalg.solve(basis.T @ basis, basis.T @ gradient).tolist()
    left_over = ((gradient - basis @ torch.tensor([a, b]).to(basis)).norm() / gradient.norm()).item()
    off = (value - reconstruction - kl).item()
    note = f"{off:+.3g} nats; beta {b / a:.4g}" + (
        f"; {left_over:.0%} of its gradient is no ELBO's" if left_over > LEAST else ""
    )
    if mistake.beta:
        sizes = case.x[0].numel(), case.by_hand().m.shape[-1], len(case.x)
        apart, bound, measure = abs(b / a / mistake.beta(*sizes) - 1) + left_over, 1e-6, "relative"
    else:
        # 0 where it is seen, 1 where it is missed.
        apart, bound, measure = float(not (left_over > LEAST or abs(off) > LEAST)), 0.5, "missed"
    return Row(
        step="9",
        left=mistake.name,
        right="the ELBO",
        left_value=value.item(),
        right_value=(reconstruction + kl).item(),
        measure=measure,
        apart=apart,
        bound=bound,
        note=note,
    )
