"""One estimator under study: its objective, prepared so that gradients can be drawn from it by the thousand."""

import copy
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from pyro import poutine
from pyro.infer import ELBO, TraceMeanField_ELBO
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from elbolab.estimators.base import Estimator, Known
from elbolab.graph.capture import Captured, capture, generators_kept, trained
from elbolab.graph.replicate import replicates
from elbolab.graph.trace import CannotCapture
from elbolab.programs.sites import PLATE, base, is_subsample, latents
from elbolab.studying.store_parameters import with_store
from elbolab.validation import unvalidated

Gradients = dict[str, Tensor]
_LOOP = 200  # gradients at most, where each of them runs all of Pyro
_TIMED = 12
_WARM_UP, _RATE = 300, 1e-2  # steps and Adam's rate for what an estimator learns itself


class ReplicatedObjective:
    """An ELBO on a model, a guide and data; `draws` gives independent gradients of its loss, in nats per datum.

    The ELBO is copied: what it learns (a baseline) is learnt here, and the one that was given does not change.
    """

    def __init__(self, label: str, elbo: ELBO, model: Callable, guide: Callable, x: Tensor) -> None:
        """
        Raises:
            ValueError: the estimator cannot serve the guide, or not with so few particles.
        """
        self.label, self.x = label, x
        self.elbo = copy.deepcopy(elbo)
        model, guide = with_store(model, guide, x)
        pair: Any = model, guide  # Pyro's annotations ask for modules
        self.objective: nn.Module = self.elbo(*pair)
        self._hidden = [name for program in (model, guide) for name in getattr(program, "hidden", ())]
        if not trained(self.objective):
            raise ValueError(
                "a study of gradients is of programs with parameters, and these have none that are trained"
            )
        with unvalidated(), generators_kept(x.device):
            _check(self.elbo, model, guide, x)
            self.evaluations = self._count_evaluations()
            start = time.perf_counter()
            self.captured = self._captured()
            self.seconds = time.perf_counter() - start
        self._fresh = copy.deepcopy(self.elbo.state_dict()) if isinstance(self.elbo, nn.Module) else {}

    def _captured(self) -> Captured | None:
        """The graph, if there is one, and if it can be vectorised."""
        if self._hidden or not hasattr(self.elbo, "differentiable_loss"):
            return None  # a graph would take what is hidden for constants
        try:
            captured = capture(self.objective, self.x)
            for _ in replicates(self.objective, self.x, 2, captured=captured):
                pass
        except (CannotCapture, RuntimeError, NotImplementedError):  # the last two: an operation that vmap lacks
            return None
        return captured

    @property
    def estimator(self) -> str:
        return type(self.elbo).__name__

    @property
    def bound(self) -> str:
        """What it bounds log p(x) by; Pyro's three say ELBO."""
        return self.elbo.bound if isinstance(self.elbo, Estimator) else "ELBO"

    @property
    def unbiased(self) -> bool:
        """By theory."""
        return getattr(self.elbo, "unbiased", True)

    @property
    def names(self) -> list[str]:
        """The parameters of model and guide; what is the estimator's own is left out."""
        return [name for name in trained(self.objective) if not name.startswith("elbo.")]

    def exact(self, known: Known) -> Gradients | None:
        """The gradients that are estimated, where the model is one that everything is known of."""
        targets = self.elbo.targets if isinstance(self.elbo, Estimator) else lambda k: (k.elbo(), k.elbo())
        try:
            bounds = dict(zip(("model.", "guide."), targets(known), strict=True))
        except NotImplementedError:
            return None
        found = {}
        for group, bound in bounds.items():
            parameters = {name: p for name, p in trained(self.objective).items() if name.startswith(group)}
            loss = -bound.sum() / len(self.x)
            gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, retain_graph=True)
            for (name, p), gradient in zip(parameters.items(), gradients, strict=True):
                found[name] = (torch.zeros_like(p) if gradient is None else gradient).double()
        return found

    def warm_up(self) -> int:
        """Trains what is the estimator's own, on x and from its beginning; model and guide stay. How many steps."""
        if not self._fresh:
            return 0
        assert isinstance(self.elbo, nn.Module), "only modules have a state"
        self.elbo.load_state_dict(self._fresh)
        own = list(self.elbo.parameters())
        optimizer = torch.optim.Adam(own, lr=_RATE) if own else None
        for _ in range(_WARM_UP):
            loss = self.objective(self.x) / len(self.x)
            if optimizer:
                gradients = torch.autograd.grad(loss, own, allow_unused=True)
                for parameter, gradient in zip(own, gradients, strict=True):
                    parameter.grad = gradient
                optimizer.step()
        for parameter in own:
            parameter.grad = None
        return _WARM_UP

    def draws(self, count: int, memory: int) -> Iterator[tuple[Tensor, Gradients]]:
        """Losses and gradients of independent draws, chunk by chunk, with a leading axis; fewer where they are slow."""
        chunks: Iterator[tuple[Tensor, Gradients]]
        if self.captured is None:
            chunks = (self._stacked(self._eager(self.x)) for _ in range(min(count, _LOOP)))
        else:
            chunks = replicates(self.objective, self.x, count, memory=memory, captured=self.captured)
        for losses, gradients in chunks:
            yield losses / len(self.x), {name: gradients[name] / len(self.x) for name in self.names}

    def milliseconds_eager(self) -> float:
        """What one gradient takes when Pyro runs for it: the median of a few."""
        taken = []
        with generators_kept(self.x.device), _kept(self.objective):
            for _ in range(_TIMED):
                start = clock(self.x.device)
                self._eager(self.x)
                taken.append(clock(self.x.device) - start)
        return 1e3 * statistics.median(taken)

    def _eager(self, x: Tensor) -> tuple[Tensor, Gradients]:
        parameters = trained(self.objective)
        if hasattr(self.elbo, "differentiable_loss"):
            loss = self.objective(x)
            found: Sequence[Tensor | None] = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        else:
            with _set_aside(list(parameters.values())):
                elbo: Any = self.elbo
                loss = torch.as_tensor(elbo.loss_and_grads(self.objective.model, self.objective.guide, x))
                found = [p.grad for p in parameters.values()]
        filled = (torch.zeros_like(p) if g is None else g for p, g in zip(parameters.values(), found, strict=True))
        return loss.detach(), dict(zip(parameters, filled, strict=True))

    @staticmethod
    def _stacked(one: tuple[Tensor, Gradients]) -> tuple[Tensor, Gradients]:
        return one[0][None], {name: gradient[None] for name, gradient in one[1].items()}

    def _count_evaluations(self) -> float:
        """Runs of the decoder per datum in one gradient, counted."""
        with Evaluations() as evaluations, _kept(self.objective):
            self._eager(self.x)
        return evaluations.per_datum


class Evaluations(Messenger):
    """Counts, while programs run, how often the likelihood of a datum is evaluated: runs of the model times particles.

    Several observed sites belong to one run.
    """

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[str, float] = {}

    @property
    def per_datum(self) -> float:
        return max(self._counts.values(), default=0.0)

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        if msg["is_observed"] and not is_subsample(msg):
            plates = [frame for frame in msg["cond_indep_stack"] if frame.vectorized and frame.name != PLATE]
            data = math.prod(frame.size for frame in plates)
            self._counts[msg["name"]] = self._counts.get(msg["name"], 0.0) + msg["fn"].batch_shape.numel() / data


def _check(elbo: ELBO, model: Callable, guide: Callable, x: Tensor) -> None:
    if isinstance(elbo, Estimator):
        elbo.check(model, guide, x)
    elif isinstance(elbo, TraceMeanField_ELBO):
        with torch.no_grad(), poutine.block(), generators_kept(x.device):
            sites = list(latents(poutine.trace(guide).get_trace(x)))
        for site in sites:
            if not site["fn"].has_rsample:
                raise ValueError(
                    f"TraceMeanField_ELBO would train the guide's {site['name']} on its KL alone: draws of"
                    f" {type(base(site['fn'])).__name__} carry no gradient. Trace_ELBO and score functions serve it"
                )


@contextmanager
def _kept(objective: nn.Module) -> Iterator[None]:
    """Puts the buffers back: looking at an estimator does not move its averages."""
    before = [(buffer, buffer.clone()) for buffer in objective.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)


@contextmanager
def _set_aside(parameters: list[nn.Parameter]) -> Iterator[None]:
    """Somebody else's `.grad` are put away and given back."""
    theirs = [p.grad for p in parameters]
    for p in parameters:
        p.grad = None
    try:
        yield
    finally:
        for p, gradient in zip(parameters, theirs, strict=True):
            p.grad = gradient


def clock(device: torch.device) -> float:
    """Seconds, when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
