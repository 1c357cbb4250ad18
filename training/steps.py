"""How a run takes its steps: the first one eagerly and validated, the others compiled where that repays."""

from collections.abc import Sequence
from typing import Literal

import pyro
import torch
from torch import Tensor
from tqdm import tqdm

from data import Dataset
from elbolab.graph.capture import CannotCapture, capture, generators_kept
from training.compiled_step import Compiled
from training.eager_step import Eager, Step
from training.state import State

Compile = Literal["auto", "on", "off"]

# To compile takes about as long as this many eager steps of a small network save.
_REPAYS = 3000


class Steps(Step):
    """The first step eagerly, with Pyro's validation; the others as one compiled graph, where that is wanted.

    `auto` compiles where a run has enough steps to repay it and what it does can be captured; `on` insists.
    """

    def __init__(
        self,
        state: State,
        dataset: Dataset,
        clip: float,
        *,
        compile: Compile,
        batch: int,
        total: int,
        varying: Sequence[str] = (),
    ) -> None:
        """
        Args:
            state, dataset, clip: what is trained and where it stands, on what, and the largest norm of a gradient.
            compile: whether to.
            batch: data per step.
            total: steps of the whole run.
            varying: options of the optimiser that are others from step to step.

        Raises:
            ValueError: `on`, and it cannot be.
        """
        super().__init__(state, dataset, clip)
        self._varying = tuple(varying)
        self._insists, self._batch = compile == "on", min(batch, len(dataset.train))
        if compile != "auto":
            state.compiled = self._insists
        elif state.compiled is None:  # else as the run that goes on has begun
            state.compiled = total >= _REPAYS and state.processes.world == 1
        if self._insists:
            self._check()
        self._step: Step = Eager(state, dataset, clip)
        self._pending = state.compiled
        kind = "compiled as one graph" if state.compiled else "eager"
        reasons = {"auto": f" ({total} steps)", "on": "", "off": ""}
        self.described = kind + reasons[compile]

    def _check(self) -> None:
        if self.state.processes.world > 1:
            raise ValueError("compile = on is for one process; several take the eager step")
        with generators_kept(self.state.device):
            try:
                capture(
                    self.state.objective,
                    self.dataset.batch(torch.arange(self._batch, device=self.dataset.index_device)),
                )
            except CannotCapture as error:
                raise ValueError(f"compile = on, but {error}") from error

    def compiles(self, index: Tensor) -> bool:
        """Whether the step on these data is the first that is to be compiled."""
        return bool(self._pending and self.state.step and len(index) == self._batch)

    def __call__(self, index: Tensor) -> None:
        if self.compiles(index):
            self.compile(index)
        with pyro.validation_enabled(self.state.step == 0):  # the first step proves shapes and supports
            self._step(index)

    def finite(self, *, look: bool) -> bool:
        return self._step.finite(look=look)

    def compile(self, index: Tensor) -> None:
        """Compiles for batches of this size: takes long, and changes nothing of the run's state.

        Raises:
            CannotCapture: it cannot be, and was insisted upon.
        """
        self._pending = False
        try:
            self._step = Compiled(self.state, self.dataset, self.clip, index, varying=self._varying)
        except CannotCapture as error:
            if self._insists:
                raise
            tqdm.write(f"step: eager, since {error}")
