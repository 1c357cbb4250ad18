"""What an audit says: which ELBO a loss is, in which units, and what to change."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from elbolab.auditing.kinds import Kind
from elbolab.auditing.report.advice import advice


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of an audit; what is not identified is None.

    Args:
        kind: what it is; a `Kind` is a string, and knows its meaning.
        likelihood: bernoulli, gaussian, laplace, continuous_bernoulli, categorical, poisson.
        beta: the KL's weight over the reconstruction's, at 100 data of 784 numbers and 2 latents where it depends on
            the sizes; never given for squared error with its constant dropped.
        sigma2: the Gaussian's variance at beta 1.
        scale: the loss is `scale` times the negative ELBO, summed over the batch, in nats.
        offset: and this much more, in the loss's own units.
        head: what the second head is: logvar, logstd, std, var, or a softplus of one.
        reductions: in words and as powers of batch, data and latent.
        notes: what a person should know.
        head_name: what the second head is called in the code.
        stated_head: what the caller says that the second head is.
        takes: what the likelihood takes the decoder's output for: logits, probs, location, ...
        residual: loss - (BCE + KL) in closed form, for a Bernoulli loss that can be traced, if it was asked for.
    """

    kind: Kind
    likelihood: str | None = None
    beta: float | None = None
    sigma2: float | None = None
    scale: float | None = None
    offset: float | None = None
    head: str | None = None
    reductions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    residual: str | None = None
    head_name: str = ""
    takes: str = ""
    stated_head: str = ""

    @property
    def is_elbo(self) -> bool:
        return self.kind.right

    def to_dict(self) -> dict[str, Any]:
        """For JSON: every field, and whether it is an ELBO; what is not finite is None."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}
        return finite | {"reductions": dict(self.reductions), "notes": list(self.notes), "is_elbo": self.is_elbo}

    def __str__(self) -> str:
        lines = [f"{self.kind}: {self.kind.meaning}"]
        if self.likelihood:
            lines.append(f"  reconstruction  {self.likelihood}" + self._reduced("reconstruction"))
        if self.head:
            closest = "closest to " if self.kind is Kind.WRONG_KL else ""
            lines.append(f"  kl              {closest}KL(q || p), second head {self.head}" + self._reduced("kl"))
        # The weights of what is no likelihood, or no KL, are those of nothing.
        if self.kind not in (Kind.WRONG_KL, Kind.WRONG_LIKELIHOOD) and (quantities := self._quantities()):
            lines.append(f"  in numbers      {quantities}")
        if self.residual:
            lines.append(f"  as algebra      {self.residual}")
        lines += [f"  note            {note}" for note in self.notes]
        return "\n".join([*lines, *(f"  to do           {line}" for line in advice(self))])

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
