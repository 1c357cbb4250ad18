"""Score-function gradients of bits and one-hot codes, less a control variate whose expectation is put back.

(f - c) d log q(z|x) + dE[c], with f = log p(x, z) - log q(z|x) and a c that resembles it; all are unbiased. The model's
gradient is that of log p(x, z) at the drawn codes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from elbolab.estimators.base import Estimate
from elbolab.estimators.codes import Coded, Codes, slope
from elbolab.estimators.conditions import SMOOTH, Condition
from elbolab.estimators.learnt import one_layer
from elbolab.estimators.relaxed import positive
from elbolab.programs.draw import Draw


class MuProp(Coded):
    """The score function less the tangent of f at q's mean, whose expectation is put back.

    c = f(m) + f'(m) (z - m), f's tangent at q's mean m (Gu et al., 2016, MuProp, arXiv 1511.05176); K + 1 decoder
    evaluations.
    """

    def estimate(self, draw: Draw) -> Estimate:
        codes = Codes.of(draw)
        log_p = draw.log_p()
        f = (log_p - draw.log_q()).detach()
        mean = codes.mean()
        # All particles have the same mean: one evaluation serves them.
        first = mean if draw.particles == 1 else {name: value[:1] for name, value in mean.items()}
        mean_log_p, mean_log_q, slopes = slope(draw, first, 1)
        away = {name: codes.values[name] - value for name, value in mean.items()}
        tangent = mean_log_p - mean_log_q + codes.dot(slopes, away)
        surrogate = log_p + (f - tangent).detach() * codes.log_prob() + codes.dot(slopes, mean)
        return Estimate(f.mean(0), surrogate.mean(0))


class REBAR(Coded):
    """The score function less f at a relaxation of the codes, whose expectation is put back by two paths.

    c = eta f(s(z~ / t)), z~ the noisy logits given the drawn codes (Tucker et al., 2017, REBAR, arXiv 1703.07370).

    [f(b) - c] d log q(b) + eta d f(s(z / t)) - eta d f(s(z~ / t)), s the sigmoid or the softmax. z and z~ share their
    noise and have the same value, but depend on the logits as draws do before and after b is known; so that two decoder
    evaluations suffice, and what f depends on the parameters for itself cancels.
    """

    conditions: tuple[Condition, ...] = (*Coded.conditions, SMOOTH)

    def __init__(self, num_particles: int = 1, *, eta: float = 1.0, temperature: float = 0.5, **options: Any) -> None:
        """
        Args:
            num_particles: draws of z per datum.
            eta: how much of the control variate is taken; 0: REINFORCE.
            temperature: of the relaxation.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        self.eta, self.temperature = eta, positive(temperature)

    def estimate(self, draw: Draw) -> Estimate:
        codes = Codes.of(draw)
        log_p = draw.log_p()
        f = (log_p - draw.log_q()).detach()
        after = codes.noisy()
        c, paths = _relaxed(draw, codes, after, codes.shifted(after), self.temperature)
        surrogate = log_p + (f - self.eta * c) * codes.log_prob() + self.eta * paths
        return Estimate(f.mean(0), surrogate.mean(0))


class RELAX(Coded):
    """REBAR with a network in its control variate, which is learned.

    c = eta f(s(z~ / t)) + r(z~, x), eta and the network r learned (Grathwohl et al., 2018, RELAX, arXiv 1711.00123).

    They minimise the square of the gradient with respect to q's logits, and so its variance; their gradients reach
    nothing else. Give them to an optimiser after the first step, which tells the network its input's size. Two decoder
    evaluations and one of the network.
    """

    conditions: tuple[Condition, ...] = (*Coded.conditions, SMOOTH)

    def __init__(
        self,
        num_particles: int = 1,
        *,
        eta: float = 1.0,
        temperature: float = 0.5,
        hidden: int = 32,
        **options: Any,
    ) -> None:
        """
        Args:
            num_particles: draws of z per datum.
            eta: where the learned one starts.
            temperature: of the relaxation.
            hidden: units of the network's layer.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        self.temperature = positive(temperature)
        self.eta = nn.Parameter(torch.tensor(float(eta)))
        self.network = one_layer(hidden)

    def prepare(self, draw: Draw) -> None:
        codes = Codes.of(draw)
        self.to(draw.data().device)
        self.free_term(codes, codes.values)

    def free_term(self, codes: Codes, noisy: Mapping[str, Tensor]) -> Tensor:
        """r, of shape (particles, batch)."""
        z, x = codes.rows(noisy), codes.draw.data().detach()
        both = torch.cat([z, x.expand(len(z), *x.shape)], -1)
        return self.network(both.to(self.eta.dtype))[..., 0].to(z.dtype)

    def free_slope(self, codes: Codes, noisy: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """r and dr/dz~, functions of the network's parameters."""
        still = {name: value.detach().requires_grad_() for name, value in noisy.items()}
        r = self.free_term(codes, still)
        found = torch.autograd.grad(r.sum(), list(still.values()), create_graph=True)
        return r, dict(zip(still, found, strict=True))

    @torch.enable_grad()
    def estimate(self, draw: Draw) -> Estimate:
        codes = Codes.of(draw)
        log_p = draw.log_p()
        f = (log_p - draw.log_q()).detach()
        free = codes.free()
        after = free.noisy()
        before = free.shifted(after)
        c, paths = _relaxed(draw, free, after, before, self.temperature)
        r, slopes = self.free_slope(free, after)
        whole = (f - self.eta * c - r) * free.log_prob() + self.eta * paths
        whole = whole + free.dot(slopes, {name: before[name] - after[name] for name in after})
        # The estimator as a number per logit: a constant to the guide, a function of eta and r to them.
        found = torch.autograd.grad(whole.sum(), list(free.logits.values()), create_graph=True)
        g = dict(zip(free.logits, found, strict=True))
        surrogate = log_p + codes.dot({name: value.detach() for name, value in g.items()}, codes.logits)
        return Estimate(f.mean(0), (surrogate - self.square(codes, g)).mean(0))

    def square(self, codes: Codes, g: Mapping[str, Tensor]) -> Tensor:
        """|g|^2, shape (particles, batch): what eta and the network minimise."""
        return codes.dot(g, g)


def _relaxed(draw: Draw, codes: Codes, after: dict, before: dict, temperature: float) -> tuple[Tensor, Tensor]:
    """f at the relaxed codes, and what has its two paths' gradients, f' (s(z / t) - s(z~ / t))."""
    relaxed, other = codes.relax(before, temperature), codes.relax(after, temperature)
    log_p, log_q, slopes = slope(draw, relaxed)
    difference = {name: relaxed[name] - other[name] for name in relaxed}
    return (log_p - log_q).detach(), codes.dot(slopes, difference)
