"""What an audit says: which ELBO a loss is, in which units, and what to change."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

RIGHT = ("elbo", "scaled", "shifted", "sampled_kl", "gaussian")
# Every kind: what it is, and what to do. The first five are an ELBO.
KINDS = {
    "elbo": ("exactly the negative ELBO, summed", "nothing to change"),
    "scaled": ("a constant factor of the negative ELBO", "nothing to change: the factor moves only the learning rate"),
    "shifted": ("the negative ELBO and a constant", "nothing to change: add the constant back before you report it"),
    "sampled_kl": (
        "the negative ELBO in expectation, its KL sampled",
        "nothing to change; the closed-form KL has less variance",
    ),
    "gaussian": (
        "squared error: the negative ELBO of a Gaussian with the variance sigma2",
        "choose sigma2 on purpose: weigh the squared error by 1 / (2 sigma2), or learn sigma2",
    ),
    "weighted": (
        "an ELBO whose KL is weighted: a beta-VAE, wanted or not",
        "if that is not wanted, reduce both terms alike: sum over data and latents, mean over the batch",
    ),
    "capacity": (
        "no ELBO: it is not affine in the KL (capacity, free bits)",
        "report the plain ELBO beside it; it is no bound on log p(x)",
    ),
    "other_prior": (
        "a KL to a prior that is not N(0, 1)",
        "if that is not wanted, use -1/2 sum(1 + logvar - mu^2 - exp(logvar)); else sample z from this prior",
    ),
    "wrong_sign": ("a term has the wrong sign", "minimise reconstruction + KL, both positive"),
    "wrong_kl": ("the second term is no KL of this encoder", "use -1/2 sum(1 + logvar - mu^2 - exp(logvar))"),
    "wrong_likelihood": (
        "the reconstruction is no log-likelihood of this decoder",
        "use binary_cross_entropy_with_logits(logits, x), in this order, on the pre-sigmoid output",
    ),
    "wrong_sampler": (
        "z is not drawn from the posterior that the KL charges for",
        "draw z = mu + sqrt(var) * randn_like(mu) with the variance in the KL: exp(logvar / 2) for a log-variance",
    ),
    "gradient_mismatch": (
        "autograd does not follow the loss (detach, no_grad, .data, .item())",
        "remove what stops the gradient",
    ),
    "not_elbo": ("no ELBO", "compare it with -log p(x|z) + KL(q(z|x) || p(z)), term by term"),
    "raises": ("it raises for every probe", "see the error; name the arguments with roles"),
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of an audit; what is not identified is None.

    Args:
        kind: one of `KINDS`.
        likelihood: bernoulli, gaussian, laplace, continuous_bernoulli, categorical, poisson.
        beta: the KL's weight over the reconstruction's, at 100 data of 784 numbers and 2 latents where it depends on
            the sizes; never given for squared error with its constant dropped.
        sigma2: the Gaussian's variance at beta 1.
        scale: the loss is `scale` times the negative ELBO, summed over the batch, in nats.
        offset: and this much more, in the loss's own units.
        head: what the second head is: logvar, logstd, std, var, or a softplus of one.
        reductions: in words and as powers of batch, data and latent.
        notes: what a person should know.
        residual: loss - (BCE + KL) in closed form, for a Bernoulli loss that can be traced, if it was asked for.
    """

    kind: str
    likelihood: str | None = None
    beta: float | None = None
    sigma2: float | None = None
    scale: float | None = None
    offset: float | None = None
    head: str | None = None
    reductions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    residual: str | None = None

    @property
    def is_elbo(self) -> bool:
        return self.kind in RIGHT

    def to_dict(self) -> dict[str, Any]:
        """For JSON: every field, and whether it is an ELBO; what is not finite is None."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}
        return finite | {"reductions": dict(self.reductions), "notes": list(self.notes), "is_elbo": self.is_elbo}

    def __str__(self) -> str:
        what, change = KINDS[self.kind]
        lines = [f"{self.kind}: {what}"]
        if self.likelihood:
            lines.append(f"  reconstruction  {self.likelihood}" + self._reduced("reconstruction"))
        if self.head:
            lines.append(f"  kl              KL(q || p), second head {self.head}" + self._reduced("kl"))
        if quantities := self._quantities():
            lines.append(f"  in numbers      {quantities}")
        if self.residual:
            lines.append(f"  as algebra      {self.residual}")
        lines += [f"  note            {note}" for note in self.notes]
        return "\n".join([*lines, f"  to do           {change}"])

    def _reduced(self, term: str) -> str:
        return f", {self.reductions[term]}" if term in self.reductions else ""

    def _quantities(self) -> str:
        said, sized = [], False
        for name in ("beta", "sigma2", "scale", "offset"):
            value, formula = getattr(self, name), self.reductions.get(name, "")
            if value is None or (name == "offset" and value == 0):
                continue
            depends = any(axis in formula for axis in ("batch", "data", "latent"))
            sized |= depends
            said.append(f"{name} = {formula} = {value:.6g}" if depends else f"{name} = {value:.6g}")
        return "; ".join(said) + (f", at {self.reductions['at']}" if sized else "")
