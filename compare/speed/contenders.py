"""The ways to take the same training step: one batch by index, binarised or not, one loss, one step of Adam."""

import importlib.util
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import pyro
import torch
from pyro.infer import ELBO, SVI, Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor, nn

from compare import handwritten
from data import Dataset
from guide import Guide
from guide.posteriors import DiagonalNormal
from model import Model, Network
from model.likelihoods import Bernoulli
from model.priors import StandardNormal
from training import Processes, State
from training.compiled_step import Compiled
from training.eager_step import Eager

LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Workload:
    """What every contender trains: a batch of `dataset`, a network family, a latent dimension."""

    network: Network
    dataset: Dataset
    batch: int
    latent: int
    device: torch.device

    def programs(self) -> tuple[Model, Guide]:
        """The same weights for everybody."""
        torch.manual_seed(0)
        model = Model(StandardNormal(self.latent), Bernoulli(self.latent, self.dataset.shape, self.network))
        guide = Guide(DiagonalNormal(self.dataset.shape, self.latent, self.network))
        return model.to(self.device), guide.to(self.device)

    @property
    def index(self) -> Tensor:
        return torch.arange(self.batch, device=self.device)


class ByHand(nn.Module):
    """BCE + KL as `handwritten` has it, summed over the batch, on the programs' networks."""

    def __init__(self, model: Model, guide: Guide) -> None:
        super().__init__()
        self.model, self.guide = model, guide

    def forward(self, x: Tensor) -> Tensor:
        m, s = self.guide.posterior.location_and_log_variance(x)
        z = handwritten.reparameterize(m, s, torch.randn_like(m))
        return (handwritten.cross_entropy(self.model.likelihood.decode(z)[0], x) + handwritten.kl(m, s)).sum()


class Contender(ABC):
    """Takes `steps` training steps when called."""

    name: str

    def __init__(self, workload: Workload) -> None:
        self.workload = workload

    @abstractmethod
    def __call__(self, steps: int) -> None:
        """Comes back when they are done."""

    @classmethod
    def missing(cls) -> str | None:
        """What would have to be installed, if anything."""
        return None


class _Steps(Contender):
    """A loop over `step`, and one wait at its end."""

    @abstractmethod
    def step(self, index: Tensor) -> None:
        """One of them."""

    def __call__(self, steps: int) -> None:
        index = self.workload.index
        for _ in range(steps):
            self.step(index)
        if self.workload.device.type == "cuda":
            torch.cuda.synchronize(self.workload.device)


class StockSVI(_Steps):
    """Pyro as its tutorials have it: `SVI.step` and `pyro.optim`, parameters in Pyro's store."""

    name = "Pyro, SVI.step"

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        model, guide = workload.programs()

        def registered_model(x: Tensor) -> None:
            pyro.module("model", model)(x)

        def registered_guide(x: Tensor) -> None:
            pyro.module("guide", guide)(x)

        pyro.clear_param_store()
        optimizer = pyro.optim.Adam({"lr": LEARNING_RATE})
        self.svi = SVI(registered_model, registered_guide, optimizer, TraceMeanField_ELBO())

    def step(self, index: Tensor) -> None:
        self.svi.step(self.workload.dataset.batch(index))


class _Objective(_Steps):
    """Steps on an objective that is a module."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.objective = self.build(*workload.programs())

    @abstractmethod
    def build(self, model: Model, guide: Guide) -> nn.Module:
        """The objective, summed over the batch."""


class _Module(_Objective):
    """With one of torch.optim's optimisers, eagerly."""

    fused = False

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.optimizer = torch.optim.Adam(self.objective.parameters(), lr=LEARNING_RATE, fused=self.fused)

    def step(self, index: Tensor) -> None:
        self.optimizer.zero_grad()
        (self.objective(self.workload.dataset.batch(index)) / len(index)).backward()
        self.optimizer.step()


class EagerELBO(_Module):
    """`elbo(model, guide)` and torch.optim."""

    name = "Pyro, elbo(model, guide)"

    def build(self, model: Model, guide: Guide) -> nn.Module:
        return TraceMeanField_ELBO()(model, guide)


class EagerByHand(_Module):
    """The loss that people write, as they write it."""

    name = "by hand"

    def build(self, model: Model, guide: Guide) -> nn.Module:
        return ByHand(model, guide)


class CompiledByHand(_Module):
    """The same with `torch.compile` and PyTorch's fused Adam."""

    name = "by hand, torch.compile"
    fused = True

    def build(self, model: Model, guide: Guide) -> nn.Module:
        return torch.compile(ByHand(model, guide))


class _Captured(_Objective):
    """By this project's compiled step."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        optimizer = torch.optim.Adam(self.objective.parameters(), lr=LEARNING_RATE)
        state = State(self.objective, optimizer, workload.device, Processes())
        Eager(state, workload.dataset, math.inf)(workload.index)
        self._compiled = Compiled(state, workload.dataset, math.inf, workload.index)

    def step(self, index: Tensor) -> None:
        self._compiled(index)


class _CapturedELBO(_Captured):
    elbo: type[ELBO]

    def build(self, model: Model, guide: Guide) -> nn.Module:
        return self.elbo()(model, guide)


class CapturedTrace(_CapturedELBO):
    """Trace_ELBO, captured."""

    name = "elbolab, Trace_ELBO"
    elbo = Trace_ELBO


class CapturedMeanField(_CapturedELBO):
    """TraceMeanField_ELBO, captured."""

    name = "elbolab, TraceMeanField_ELBO"
    elbo = TraceMeanField_ELBO


class CapturedByHand(_Captured):
    """The hand-written loss, captured by the same means: what Pyro's programs still cost."""

    name = "by hand, captured"

    def build(self, model: Model, guide: Guide) -> nn.Module:
        return ByHand(model, guide)


class NumPyro(Contender):
    """NumPyro's TraceMeanField_ELBO, all steps of a call in one jitted loop."""

    name = "NumPyro, jitted loop"

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        from compare.speed.numpyro_loop import Loop

        self.loop = Loop(*workload.programs(), workload.dataset, workload.batch, LEARNING_RATE)

    def __call__(self, steps: int) -> None:
        self.loop(steps)

    @classmethod
    def missing(cls) -> str | None:
        found = all(importlib.util.find_spec(name) for name in ("numpyro", "optax"))
        return None if found else "pip install 'numpyro>=0.19' 'optax>=0.2'"


CONTENDERS: tuple[type[Contender], ...] = (
    StockSVI,
    EagerELBO,
    EagerByHand,
    CompiledByHand,
    NumPyro,
    CapturedByHand,
    CapturedTrace,
    CapturedMeanField,
)
