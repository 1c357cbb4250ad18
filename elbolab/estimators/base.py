"""The contract of an objective: what a gradient estimator is given, and what it answers."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, Protocol

import pyro
import torch
from pyro import poutine
from pyro.infer import ELBO
from pyro.infer.elbo import ELBOModule
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from elbolab.estimators.joint_sampling import SAMPLERS
from elbolab.programs.draw import Draw, latents

Sampling = Literal["independent", "antithetic", "sobol"]


class Needs(NamedTuple):
    """What an estimator asks of q at every latent, in words and as a test."""

    words: str
    met: Callable[[Distribution], bool]


def base(q: Distribution) -> Distribution:
    """A distribution without the axes that were declared part of one event."""
    while isinstance(q, Independent):
        q = q.base_dist
    return q


ANYTHING = Needs("any latent", lambda q: True)
REPARAMETERISED = Needs("latents whose draws carry gradients (rsample)", lambda q: q.has_rsample)
BITS = Needs("Bernoulli latents", lambda q: isinstance(base(q), torch.distributions.Bernoulli))
CODES = Needs(
    "Bernoulli or one-hot latents",
    lambda q: isinstance(base(q), torch.distributions.Bernoulli | torch.distributions.OneHotCategorical),
)


class Estimate(NamedTuple):
    """What an estimator answers: two tensors of shape (batch,), in nats, both to be maximised.

    The bound's value is what is reported; the surrogate's gradient is the estimator, its value means nothing.
    """

    bound: Tensor
    surrogate: Tensor


class Known(Protocol):
    """A model and guide whose bounds are known exactly, as functions of their parameters, each of shape (batch,)."""

    def elbo(self) -> Tensor:
        """E_q[log p(x, z) - log q(z|x)]."""

    def iwae(self, particles: int) -> Tensor:
        """E[log 1/K sum_k w_k], K particles."""

    def wake(self) -> Tensor:
        """E_p(z|x)[log q(z|x)], a function of the guide's parameters alone."""


@contextmanager
def without_a_trace() -> Iterator[None]:
    """Programs can be run here to be looked at: no generator moves, no gradient, no handler outside sees it."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices), torch.no_grad(), poutine.block():
        yield


class Estimator(ELBO, nn.Module):
    """A bound on log p(x) and an estimator of its gradient, for any Pyro model and guide.

    A subclass answers `estimate(draw)` with an `Estimate`, in nats per datum. `unbiased` says whether
    that gradient is, in expectation, the gradient of the bound's; `needs` what it asks of the guide. What it learns
    itself (a baseline) are its own parameters: it is a module, and so part of `elbo(model, guide)`.

    The loss is the negative sum over the data, as everywhere in Pyro. Particles are always vectorised.
    """

    needs: Needs = ANYTHING
    unbiased: bool = True
    closed_form_kl: bool = False  # takes KL(q || p) in closed form where there is one
    least_particles: int = 1

    def __init__(
        self,
        num_particles: int = 1,
        *,
        max_plate_nesting: float = math.inf,
        vectorize_particles: bool = True,
        **options: Any,
    ) -> None:
        """
        Args:
            num_particles: draws of z per datum.
            max_plate_nesting: at least how deep the programs' plates are nested; found out if left out.
            vectorize_particles: has to be true: a datum's particles are weighed against each other.
            options: what else Pyro's ELBO takes.
        """
        nn.Module.__init__(self)
        name = type(self).__name__
        if num_particles < self.least_particles:
            raise ValueError(
                f"{name} needs at least {self.least_particles} particles, not num_particles = {num_particles}"
            )
        if not vectorize_particles:
            raise ValueError(f"{name} runs its particles as one plate: vectorize_particles = False is for Pyro's ELBOs")
        ELBO.__init__(
            self,
            num_particles=num_particles,
            max_plate_nesting=max_plate_nesting,
            vectorize_particles=True,
            **options,
        )
        self._least_nesting = 0 if max_plate_nesting == math.inf else int(max_plate_nesting)
        self._nesting: int | None = None  # known once the programs have been looked at

    @abstractmethod
    def estimate(self, draw: Draw) -> Estimate:
        """The bound and the surrogate, each of shape (batch,)."""

    @property
    def bound(self) -> str:
        """What is bounded and how, by name: estimators of the same bound can be compared."""
        return "ELBO"

    def targets(self, known: Known) -> tuple[Tensor, Tensor]:
        """The functions whose gradients are estimated for the model's parameters and for the guide's."""
        return known.elbo(), known.elbo()

    @property
    def particles(self) -> int:
        """How many times the guide is drawn from at once."""
        return self.num_particles

    def __call__(self, model: nn.Module, guide: nn.Module) -> ELBOModule:
        return ELBOModule(model, guide, self)

    def check(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> None:
        """Looks at both programs once, without a trace in the generators: how deep their plates are, and what q is.

        Raises:
            ValueError: this estimator cannot serve a latent: its name, what it would have to be, and who serves it.
        """
        with without_a_trace():
            traces = Draw(model, guide, args, kwargs, nesting=0).traces
        sites = [site for trace in traces for site in trace.nodes.values() if site["type"] == "sample"]
        depths = [-frame.dim for site in sites for frame in site["cond_indep_stack"] if frame.vectorized]
        self._nesting = max([self._least_nesting, *depths])
        for site in latents(traces[1]):
            if not self.needs.met(site["fn"]):
                able = ", ".join(sorted(cls.__name__ for cls in concrete(Estimator) if cls.needs.met(site["fn"])))
                raise ValueError(
                    f"{type(self).__name__} serves {self.needs.words}, and the guide's {site['name']} is"
                    f" {type(base(site['fn'])).__name__}. Estimators for it: {able}"
                )

    def _get_trace(self, model: Callable, guide: Callable, args: tuple, kwargs: dict[str, Any]) -> tuple:
        return self.draw(model, guide, args, kwargs).traces  # what Pyro's base class asks for

    def draw(self, model: Callable, guide: Callable, args: tuple, kwargs: dict[str, Any]) -> Draw:
        """Runs the guide for all particles at once."""
        if self._nesting is None:
            self.check(model, guide, *args, **kwargs)
        return Draw(model, guide, args, kwargs, particles=self.particles, nesting=self._nesting, sampler=self.sampler())

    def sampler(self) -> poutine.messenger.Messenger | None:
        """How latents are drawn; None: by Pyro."""
        return None

    def differentiable_loss(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> Tensor:
        """The negative bound, summed over the data, with the estimator as its gradient."""
        if poutine.runtime.am_i_wrapped() and next(self.parameters(), None) is not None:
            pyro.module(f"{type(self).__name__}", self)  # SVI trains what it sees as parameters
        draw = self.draw(model, guide, args, kwargs)
        bound, surrogate = self.estimate(draw)
        return -draw.scale * (bound.detach() + (surrogate - surrogate.detach())).sum()

    @torch.no_grad()
    def loss(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> float:
        """The negative bound, summed over the data."""
        return self.differentiable_loss(model, guide, *args, **kwargs).item()

    def loss_and_grads(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> float:
        """The same, and adds its gradient to that of the parameters."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        if loss.requires_grad:
            loss.backward(retain_graph=self.retain_graph)
        return loss.item()


class MultiSample(Estimator):
    """What the estimators of L_K = E[log 1/K sum_k w_k] share: K, the bound and its name."""

    def __init__(self, num_particles: int = 5, **options: Any) -> None:
        """
        Args:
            num_particles: K draws of z per datum.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)

    @property
    def bound(self) -> str:
        return f"IWAE-{self.num_particles}" if self.num_particles > 1 else "ELBO"

    def targets(self, known: Known) -> tuple[Tensor, Tensor]:
        return known.iwae(self.num_particles), known.iwae(self.num_particles)


class Reparameterised(Estimator):
    """What the pathwise estimators share: draws that carry gradients, and how they are drawn."""

    needs = REPARAMETERISED

    def __init__(self, num_particles: int = 1, *, sampling: Sampling = "independent", **options: Any) -> None:
        """
        Args:
            num_particles: draws of z per datum.
            sampling: independent; antithetic: pairs mirrored at q's centre (for a multi-sample bound this is another
                bound); sobol: a randomised quasi-Monte Carlo net over the particles.
            options: what else Estimator takes.
        """
        super().__init__(num_particles, **options)
        if sampling not in SAMPLERS:
            raise ValueError(f"sampling = {sampling}: {', '.join(SAMPLERS)}")
        self.sampling = sampling

    def sampler(self) -> poutine.messenger.Messenger | None:
        return SAMPLERS[self.sampling](self.particles)


def concrete(cls: type[Estimator]) -> set[type[Estimator]]:
    """The estimators that can be built: a class and those made from it, private ones left out."""
    found = set() if getattr(cls, "__abstractmethods__", None) or cls.__name__.startswith("_") else {cls}
    return found.union(*(concrete(sub) for sub in cls.__subclasses__()))
