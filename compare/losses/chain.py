"""From the ELBO to BCE + KL, link by link: the links that are identities, checked with the same noise on both sides."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from pyro.distributions import Bernoulli
from pyro.infer import ELBO, Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor
from torch.distributions import kl_divergence

from compare import handwritten
from compare.losses.case import Case
from compare.losses.rows import EXACT, Row, equal, relative, same_mean


def likelihood(case: Case) -> list[Row]:
    """1. Cross-entropy, summed over pixels, is -log p(x|z) of Bernoulli pixels; and what float32 can keep of it."""
    with torch.no_grad():
        d = case.by_hand()
        bce = handwritten.cross_entropy(d.logits, d.x)
        exact = equal("1", "BCE(logits)", "-log Bernoulli", bce, -case.model.likelihood(d.z).log_prob(d.x))
        single = handwritten.cross_entropy(d.logits.float(), d.x.float()).double()
        lost = ((single - bce).abs() / bce).max().item()
        bits = math.log2(max(1.0, lost / torch.finfo(torch.float32).eps))
        rounded = equal("1", "BCE, float32", "float64", single, bce, bound=1e-5, note=f"{bits:.1f} of 24 bits lost")
    return [exact, rounded, *_saturation()]


def _saturation() -> list[Row]:
    """Pixels that are surely wrong: the loss must go on growing with the logit, and its gradient must pull."""
    one = torch.ones(1)

    def loss_and_slope(function: Callable[[Tensor], Tensor], logit: float) -> Tensor:
        value = torch.tensor([logit], requires_grad=True)
        loss = function(value).sum()
        (slope,) = torch.autograd.grad(loss, value)
        return torch.stack([loss.detach(), slope.squeeze()]).double()

    def by_logits(v: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(v, one)

    def by_sigmoid(v: Tensor) -> Tensor:
        return F.binary_cross_entropy(torch.sigmoid(v), one)

    def by_probs(v: Tensor) -> Tensor:
        return -Bernoulli(probs=torch.sigmoid(v)).log_prob(one)

    ceiling = -math.log(torch.finfo(torch.float32).eps)
    cases = [
        ("BCE(logits)", by_logits, 200.0, -1.0, "goes on growing, as it should"),
        ("BCE(sigmoid)", by_sigmoid, 100.0, 0.0, "stops at 100 nats, where 200 are due"),
        ("Bernoulli(probs)", by_probs, ceiling, 0.0, "stops at 15.94 nats, where 200 are due"),
    ]
    rows = []
    for name, function, loss, slope, note in cases:
        value, pull = loss_and_slope(function, -200.0)
        known = torch.tensor([loss, slope]).double()
        rows.append(equal("1", f"{name}, logit -200", "what float32 keeps", value, known[0], bound=1e-5, note=note))
        rows.append(equal("1", "  its slope", "what float32 keeps", pull, known[1], bound=1e-5))
    return rows


def divergence(case: Case) -> list[Row]:
    """2. -1/2 sum(1 + s - m^2 - e^s) is KL(q || p), which is cross-entropy(q, p) less the entropy of q."""
    with torch.no_grad():
        d = case.by_hand()
        kl = handwritten.kl(d.m, d.s)
        q, p = case.guide.posterior(d.x), case.model.prior()
        parts = handwritten.gaussian_cross_entropy(d.m, d.s) - handwritten.entropy(d.s)
        z = q.expand((2000, *q.batch_shape)).sample()
        draws = handwritten.sampled_kl(z, d.m, d.s).mean(1)
        return [
            equal("2", "-1/2 sum(1+s-m^2-e^s)", "KL(q || p)", kl, kl_divergence(q, p.expand(q.batch_shape))),
            equal("2", "entropy of q", "1/2 sum(1+log 2 pi+s)", q.entropy(), handwritten.entropy(d.s)),
            equal("2", "-1/2 sum(1+s-m^2-e^s)", "cross-entropy - entropy", kl, parts),
            same_mean("2", "log q - log p, 2000 draws", "-1/2 sum(1+s-m^2-e^s)", draws, kl.mean().item()),
        ]


def analytic(case: Case) -> list[Row]:
    """3. BCE + that KL is TraceMeanField_ELBO: value and every gradient, with the same noise."""

    def by_hand() -> Tensor:
        d = case.by_hand()
        return handwritten.cross_entropy(d.logits, d.x) + case.model.beta * handwritten.kl(d.m, d.s)

    return _value_and_gradient("3", case, "BCE + KL", by_hand, TraceMeanField_ELBO())


def sampled(case: Case) -> list[Row]:
    """4. BCE + log q - log p is Trace_ELBO: value and every gradient, with the same noise."""

    def by_hand() -> Tensor:
        d = case.by_hand()
        return handwritten.cross_entropy(d.logits, d.x) + case.model.beta * handwritten.sampled_kl(d.z, d.m, d.s)

    return _value_and_gradient("4", case, "BCE + log q - log p", by_hand, Trace_ELBO())


def spelt_out(case: Case) -> list[Row]:
    """4. For parts whose loss nobody writes by hand: -log p(x|z) + log q - log p of their distributions, spelt out."""
    pathwise = case.guide.posterior(case.x).has_rsample

    def by_hand() -> Tensor:
        q, p = case.guide.posterior(case.x), case.model.prior()
        z = q.rsample() if pathwise else q.sample()
        return -case.model.decode(z).log_prob(case.x) + case.model.beta * (q.log_prob(z) - p.log_prob(z))

    rows = _value_and_gradient("4", case, "-log p(x|z) + log q - log p", by_hand, Trace_ELBO())
    return rows if pathwise else rows[:1]  # the score function's gradient is not that of the value


def _value_and_gradient(step: str, case: Case, name: str, by_hand: Callable[[], Tensor], elbo: ELBO) -> list[Row]:
    objective = case.objective(elbo)
    value, gradient = case.gradient(by_hand)
    pyro_value, pyro_gradient = case.gradient(lambda: objective(case.x))
    sizes = {parameter: p.numel() for parameter, p in case.parameters().items()}
    pairs = zip(gradient.split([*sizes.values()]), pyro_gradient.split([*sizes.values()]), strict=True)
    apart = dict(zip(sizes, (relative(*pair) for pair in pairs), strict=True))
    worst = max(apart, key=lambda parameter: (math.isnan(apart[parameter]), apart[parameter]))
    return [
        equal(step, name, type(elbo).__name__, value, pyro_value),
        Row(
            step=step,
            left="  its gradient (norm)",
            right="  its gradient (norm)",
            left_value=gradient.norm().item(),
            right_value=pyro_gradient.norm().item(),
            measure="relative",
            apart=apart[worst],
            bound=EXACT,
            note=f"all {len(apart)} parameters; most apart: {worst}",
        ),
    ]


def heads(case: Case) -> list[Row]:
    """8. Log-variance, log-deviation and softplus heads are one ELBO written three ways; a head read as another is not.

    exp(s) rather than a softplus: both only keep the variance positive. s = 2 t = 2 log softplus(h).
    """
    with torch.no_grad():
        d = case.by_hand()
        t = 0.5 * d.s
        h = torch.expm1(t.exp()).log()  # the inverse of softplus
        right = handwritten.kl(d.m, d.s)
        misread = handwritten.kl(d.m, t), handwritten.kl_of_log_deviation(d.m, d.s)
    off = [f"read as the other: {(wrong - right).mean().item():+.3g} nats per datum" for wrong in misread]
    return [
        equal(
            "8", "KL of head t = log sigma", "KL of head s", handwritten.kl_of_log_deviation(d.m, t), right, note=off[0]
        ),
        equal("8", "KL of head h, softplus", "KL of head s", handwritten.kl_of_softplus(d.m, h), right, note=off[1]),
    ]
