"""What the page of a run computes: its model, guide and objectives as programs, and why one is missing."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import ELBO, Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence

from elbolab.programs.kl import analytic_kl
from elbolab.report.constants import Constants
from elbolab.report.noise import Noise
from elbolab.report.program import NoJavaScript, Program, program
from elbolab.validation import unvalidated
from guide.posteriors import DiagonalNormal
from model.likelihoods import Bernoulli
from model.priors import StandardNormal
from training.experiment import Experiment
from training.judgement import kl_of_coordinates

PYROS = {"trace": Trace_ELBO, "mean_field": TraceMeanField_ELBO}
OF_THE_ENCODER = ("encode", "heads", "draw", "kl", "trace", "mean_field")


class Parts:
    """Model and guide of a run, copied into float64, as functions of one datum x (1, *datum) and one z (1, latent)."""

    def __init__(self, lab: Experiment) -> None:
        """Takes copies: the run's own stay as they are."""
        self.model, self.guide = (part.cpu().double() for part in copy.deepcopy((lab.model, lab.guide)))
        for part in (self.model, self.guide):
            part.requires_grad_(False).eval()
        x = lab.dataset.test[:1].cpu().double()
        with unvalidated():
            self.pathwise = bool(self.guide.posterior(x).has_rsample)

    def names(self) -> dict[str, str]:
        parts = {"prior": self.model.prior, "likelihood": self.model.likelihood, "guide": self.guide.posterior}
        return {name: type(part).__name__ for name, part in parts.items()}

    @property
    def written(self) -> bool:
        """Whether people write this loss by hand: standard normal prior, Bernoulli pixels, diagonal encoder."""
        found = (self.model.prior, self.model.likelihood, self.guide.posterior)
        return all(type(a) is b for a, b in zip(found, (StandardNormal, Bernoulli, DiagonalNormal), strict=True))

    def decode(self, z: Tensor) -> Tensor:
        """E[x|z]."""
        return self.model.decode(z).mean

    def distortion(self, x: Tensor, z: Tensor) -> Tensor:
        """-log p(x|z)."""
        return -self.model.decode(z).log_prob(x)

    def log_p(self, z: Tensor) -> Tensor:
        return self.model.prior().log_prob(z)

    def prior(self) -> Tensor:
        """z ~ p(z)."""
        return self.model.prior().sample()[None]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of q(z|x)."""
        q = self.guide.posterior(x)
        if isinstance(q, dist.MultivariateNormal | dist.LowRankMultivariateNormal):
            return q.mean, q.covariance_matrix
        return q.mean, torch.diag_embed(q.variance)

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z ~ q(z|x), and log q there."""
        q = self.guide.posterior(x)
        z = q.rsample() if q.has_rsample else q.sample()
        return z, q.log_prob(z)

    def kl(self, x: Tensor) -> Tensor:
        """KL(q || p): per latent where they are independent, else their sum alone."""
        q, p = self.guide.posterior(x), self.model.prior()
        p = p.expand(q.batch_shape)
        each = kl_of_coordinates(q, p)
        return torch.as_tensor(kl_divergence(q, p)) if each is None else each

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """m and s of the diagonal normal."""
        return self.guide.posterior.location_and_log_variance(x)

    def logits(self, z: Tensor) -> Tensor:
        """Of the Bernoulli pixels."""
        return self.model.likelihood.decode(z[..., : self.model.prior.seen])[0]

    def objective(self, elbo: ELBO) -> Callable[[Tensor], Tensor]:
        """The loss of one of Pyro's objectives."""
        objective: nn.Module = elbo(self.model, self.guide)
        return lambda x: objective(x)

    @torch.no_grad()
    def losses(self, x: Tensor, z: Tensor) -> dict[str, float]:
        """What Pyro itself says at this z, by replay: nothing of the exported programs is used."""
        site = poutine.trace(self.guide).get_trace(x)
        site.nodes["z"]["value"] = z
        replayed = poutine.replay(self.guide, trace=site)
        found = {}
        with unvalidated():
            for name in self.objectives():
                found[name] = float(PYROS[name]().loss(self.model, replayed, x))
        return found

    def objectives(self) -> list[str]:
        """Those of Pyro's that say something here: the mean field asks for pathwise gradients."""
        return ["trace", "mean_field"] if self.pathwise else ["trace"]


@dataclass
class Exported:
    """Programs by name, what is refused and why, and the numbers that they need."""

    programs: dict[str, Program] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    constants: Constants = field(default_factory=Constants)

    def check(self, name: str, values: list[Tensor], *inputs: Tensor, seed: int) -> tuple[list[float], list[Tensor]]:
        """The random numbers and the outputs of a program."""
        noise = Noise(seed)
        return noise.values, self.programs[name].run(values, *inputs, noise=noise)


def exported(parts: Parts, x: Tensor, *, without: dict[str, str] | None = None) -> Exported:
    """All programs of a run that can be exported; those in `without` are refused for the reason there."""
    found = Exported(refused=dict(without or {}))
    with unvalidated(), torch.random.fork_rng(devices=[]):
        z = parts.draw(x)[0]
        q, p = parts.guide.posterior(x), parts.model.prior()
        if "kl" not in found.refused and analytic_kl(q, p.expand(q.batch_shape)) is None:
            found.refused["kl"] = f"there is no closed form of KL({_family(q)} || {_family(p)})"
        wanted: dict[str, tuple[Callable, dict[str, Tensor]]] = {
            "decode": (parts.decode, {"z": z}),
            "distortion": (parts.distortion, {"x": x, "z": z}),
            "log_p": (parts.log_p, {"z": z}),
            "prior": (parts.prior, {}),
            "encode": (parts.encode, {"x": x}),
            "draw": (parts.draw, {"x": x}),
            "kl": (parts.kl, {"x": x}),
        }
        if not parts.pathwise:
            guide = parts.names()["guide"]
            found.refused.setdefault("mean_field", f"TraceMeanField_ELBO needs pathwise gradients, which {guide} lacks")
        for name in parts.objectives():
            wanted[name] = (parts.objective(PYROS[name]()), {"x": x})
        if parts.written:
            wanted |= {"heads": (parts.heads, {"x": x}), "logits": (parts.logits, {"z": z})}
        for name, (function, examples) in wanted.items():
            if name in found.refused:
                continue
            try:
                found.programs[name] = program(function, found.constants, **examples)
            except NoJavaScript as error:
                found.refused[name] = f"{_owner(name, parts)}: {error}"
    return found


def _owner(name: str, parts: Parts) -> str:
    """The part whose doing it is, by its own name."""
    named = parts.names()
    of_model = {"decode": "likelihood", "distortion": "likelihood", "logits": "likelihood", "log_p": "prior"}
    if name in PYROS:
        return PYROS[name].__name__
    return named[of_model.get(name, "prior" if name == "prior" else "guide")]


def _family(distribution: Distribution) -> str:
    inner = distribution.base_dist if isinstance(distribution, dist.Independent) else distribution
    return type(inner).__name__
