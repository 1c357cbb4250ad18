"""One step of training, and the plain way to take it: Pyro runs every time."""

from abc import ABC, abstractmethod

from torch import Tensor

from data import Dataset
from training.state import State


class Step(ABC):
    """Draws a batch, takes the loss and its gradient, and moves the optimiser, if all of it is finite."""

    def __init__(self, state: State, dataset: Dataset, clip: float) -> None:
        self.state, self.dataset, self.clip = state, dataset, clip

    @abstractmethod
    def __call__(self, index: Tensor) -> None:
        """Steps on the data at `index`; from the first step on that is not finite, nothing is changed any more."""

    @abstractmethod
    def finite(self, *, look: bool) -> bool:
        """Whether all steps were, as far as that is known without waiting, or with `look`.

        If not, `state.step` counts those that were.
        """


class Eager(Step):
    """Pyro runs at every step, and so does Python; with several processes, each takes its share of the batch."""

    def __init__(self, state: State, dataset: Dataset, clip: float) -> None:
        super().__init__(state, dataset, clip)
        self._objective = state.processes.wrap(state.objective)
        self._finite = True

    def __call__(self, index: Tensor) -> None:
        processes = self.state.processes
        share = len(index) / processes.world
        # Nats per datum: the one place where a sum becomes a mean. Processes average: the mean over all of the batch.
        loss = self._objective(self.dataset.batch(processes.share(index))) / share
        self._finite = self.state.advance(loss, share, self.clip)

    def finite(self, *, look: bool) -> bool:
        return self._finite
