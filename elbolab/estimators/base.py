"""The contract of an objective: what a gradient estimator is given, and what it answers.

How to write an estimator. Subclass `Estimator` (`MultiSample` for a bound of K particles, `Reparameterised` for a
pathwise gradient, `Coded` for one that knows bits or one-hot codes by their logits) and say three things:

- `conditions`, what has to be so in the programs for the gradient to be what the docstring claims: a tuple of
  conditions from `elbolab.estimators.conditions`, or your own `Condition(words, offence)`, where `offence(reading)`
  answers from a `Reading` what is amiss (a site's name and why), or None. They are checked before the first step and
  whenever the programs change, are what an error offers in its place, and are the table of who serves what; an
  estimator has no checks of its own. A class that adds to those of its base says
  `conditions = (*Base.conditions, MINE)`. Data have to be independent given the parameters unless it says
  `mixed_data = True`, as one may whose surrogate is the bound itself; the guide's support has to stay where it is
  unless `total_derivative = True`; `repeats` says which programs it runs again, whose networks must not be random.
- `unbiased`, `bound` and `targets`: what the gradient is of, by name and as a function of what is known.
- `estimate(draw)`: the bound and the surrogate, each of shape (batch,), from `draw.log_p`, `log_q`, `log_weight` and
  `log_density`, of shape (particles, batch), at the drawn latents or at others (`draw.log_p(values, particles)`).
  `log_q` is the guide's density of its draws, scales such as beta in it, and `log_density` the same without them, whose
  gradient is the score; all else that the guide puts in is in `log_p`. Do not touch traces: whether particles are
  vectorised, where plates are and what is a point mass is `Draw`'s business. `sampler()` changes how latents are drawn.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import pyro
import torch
from pyro import poutine
from pyro.infer import ELBO
from pyro.infer.elbo import ELBOModule
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.modules.lazy import LazyModuleMixin

from elbolab.estimators.conditions import MATCHED, Condition, EveryLatent, Repeats, asked
from elbolab.estimators.offered import concrete
from elbolab.programs.draw import Draw
from elbolab.programs.reading import ProgramsChanged, Reading, read, undisturbed
from elbolab.programs.readings import Readings
from elbolab.programs.separation import data_mix, particles_mix, plates_that_mix
from elbolab.programs.sites import named


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

    def iwae(self, particles: int, alpha: float = 0.0) -> Tensor:
        """E[log 1/K sum_k w_k], K particles; E[1 / (1 - alpha) log 1/K sum_k w_k^(1 - alpha)]."""

    def wake(self) -> Tensor:
        """E_p(z|x)[log q(z|x)], a function of the guide's parameters alone."""

    def thermodynamic(self, betas: Sequence[float]) -> Tensor:
        """sum_s (b_s+1 - b_s) E[log w] under q w^b_s, normalised."""


class Estimator(ELBO, nn.Module):
    """A bound on log p(x) and an estimator of its gradient, for any Pyro model and guide.

    A subclass answers `estimate(draw)` with an `Estimate`, in nats per datum. `unbiased` says whether
    that gradient is, in expectation, the gradient of the bound's; `conditions` what it asks of the two programs. What
    it learns itself (a baseline) are its own parameters: it is a module, and so part of `elbo(model, guide)`.

    The loss is the negative sum over the data, as everywhere in Pyro.
    """

    conditions: tuple[Condition, ...] = ()
    mixed_data: bool = False  # right where a datum's density depends on another's latents, as with batch normalisation
    total_derivative: bool = False  # of the bound along the draws, which leaves no score out and adds none
    repeats: Repeats = "both"  # the programs that may run more than once for an estimate
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
            vectorize_particles: whether the particles are one plate, which model and guide have to broadcast over, or
                the programs run once for each of them.
            options: what else Pyro's ELBO takes.
        """
        nn.Module.__init__(self)
        name = type(self).__name__
        if num_particles < self.least_particles:
            raise ValueError(
                f"{name} needs at least {self.least_particles} particles, not num_particles = {num_particles}"
            )
        ELBO.__init__(
            self,
            num_particles=num_particles,
            max_plate_nesting=max_plate_nesting,
            vectorize_particles=vectorize_particles,
            **options,
        )
        self._least_nesting = 0 if max_plate_nesting == math.inf else int(max_plate_nesting)
        self._readings = Readings()

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

    def check(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> Reading:
        """Reads both programs, without a trace in the generators, and says whether they are served.

        It is made before the first step, and again whenever the programs or the structure of what they are called with
        have changed.

        Raises:
            ValueError: what is not served, what would have to be so, and who serves it.
        """
        name, reading = type(self).__name__, read(model, guide, args, kwargs)
        if MATCHED.offence(reading) is None:
            tried = (model, guide, args, kwargs, reading)
            reading = replace(reading, mixes=data_mix(*tried), mixed=plates_that_mix(*tried))
        for condition in (*self.asks(), *self.asks_as_built()):
            if (offence := condition.offence(reading)) is not None:
                able = named(cls.__name__ for cls in concrete(Estimator) if cls.serves(reading))
                others = f". Estimators for it: {able}" if able else ""
                raise ValueError(f"{name} serves {condition.words}, and {offence}{others}")
        if self.vectorize_particles and self.particles > 1:
            reason = particles_mix(model, guide, args, kwargs, reading, self._least_nesting)
            if reason:
                raise ValueError(
                    f"{name} runs its {self.particles} particles as one plate, and model or guide do not broadcast over"
                    f" it ({reason}): {name}(..., vectorize_particles=False) runs them one by one"
                )
        if any(isinstance(m, LazyModuleMixin) and m.has_uninitialized_params() for m in self.modules()):
            with undisturbed(model, guide):
                self.prepare(Draw(model, guide, args, kwargs, reading=reading))
        return reading

    def prepare(self, draw: Draw) -> None:
        """Tells what is learnt by the estimator itself the sizes of what it will see, from one draw."""
        raise NotImplementedError(f"{type(self).__name__} has parameters of unknown size")

    @classmethod
    def serves(cls, reading: Reading) -> bool:
        """Whether two programs meet all its conditions."""
        return all(condition.offence(reading) is None for condition in cls.asks())

    @classmethod
    def asks(cls) -> tuple[Condition, ...]:
        """All conditions, those that every estimator has too."""
        return *asked(cls.mixed_data, cls.total_derivative, cls.repeats), *cls.conditions

    def asks_as_built(self) -> tuple[Condition, ...]:
        """What its options ask besides."""
        return ()

    @classmethod
    def serves_latent(cls, q: Distribution) -> bool:
        """Whether it serves a latent that is drawn from such a q, the rest of the programs apart."""
        return all(c.serves(q) for c in cls.conditions if isinstance(c, EveryLatent))

    def _get_trace(self, model: Callable, guide: Callable, args: tuple, kwargs: dict[str, Any]) -> tuple:
        return self.draw(model, guide, args, kwargs).traces  # what Pyro's base class asks for

    def draw(self, model: Callable, guide: Callable, args: tuple, kwargs: dict[str, Any]) -> Draw:
        """Runs the guide for all particles."""
        reading = self._readings.of(model, guide, args, kwargs, self.check)
        return Draw(
            model,
            guide,
            args,
            kwargs,
            particles=self.particles,
            reading=reading,
            nesting=self._least_nesting,
            sampler=self.sampler(),
            vectorized=self.vectorize_particles,
        )

    def sampler(self) -> poutine.messenger.Messenger | None:
        """How latents are drawn; None: by Pyro."""
        return None

    def differentiable_loss(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> Tensor:
        """The negative bound, summed over the data, with the estimator as its gradient."""
        if poutine.runtime.am_i_wrapped() and next(self.parameters(), None) is not None:
            pyro.module(f"{type(self).__name__}", self)  # SVI trains what it sees as parameters
        for last in (False, True):
            try:
                draw = self.draw(model, guide, args, kwargs)
                bound, surrogate = self.estimate(draw)
                break
            except ProgramsChanged:  # read anew, and once more
                self._readings.clear()
                if last:
                    raise ValueError(
                        f"{type(self).__name__} serves programs that have the same sites in every run, and these change"
                        " with what is drawn. Pyro's Trace_ELBO without vectorised particles is for them"
                    ) from None
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
