"""An optimiser's Python numbers, such as learning rates and step counts, as inputs of a graph."""

import torch
from torch import Tensor

from elbolab.graph.reads import CannotCapture
from elbolab.stepping.optimizers import Moved, Numbers


class NumberTensors:
    """An optimiser's Python numbers as tensors: those that are equal, and stay so, are one."""

    def __init__(self, moved: Moved | None, parameters: list[Tensor]) -> None:
        self._numbers = moved.numbers if moved else Numbers()
        self.places = self._numbers.places
        kinds: dict[tuple, int] = {}
        laws = zip(self._numbers.values(), self._numbers.factors, self._numbers.terms, strict=True)
        self._numbers.groups = [kinds.setdefault(law, len(kinds)) for law in laws]
        device = parameters[0].device if parameters else torch.device("cpu")
        self._tensor = torch.tensor([law[0] for law in kinds], dtype=torch.float64, device=device)
        self.tensors = list(self._tensor.unbind())
        self._last = [float(law[0]) for law in kinds]

    def changed(self) -> bool:
        """Whether some that were equal are so no longer."""
        now: dict[int, float] = {}
        return any(
            now.setdefault(group, value) != value
            for group, value in zip(self._numbers.groups, self._numbers.values(), strict=True)
        )

    def filled(self) -> list[Tensor]:
        """The numbers as they are now."""
        now = list(self._last)
        for group, value in zip(self._numbers.groups, self._numbers.values(), strict=True):
            now[group] = float(value)
        if now != self._last:
            self._tensor.copy_(torch.tensor(now, dtype=torch.float64))
            self._last = now
        self._predicted = self._numbers.predicted()
        return self.tensors

    def advance(self) -> None:
        self._numbers.advance()

    def check(self) -> None:
        """
        Raises:
            CannotCapture: a step made something else of them than is known of the optimiser.
        """
        if self._numbers.values() != self._predicted:
            raise CannotCapture("the optimiser counts in a way that is not known")
