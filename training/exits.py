"""How a run ends early: one clear message and an exit code, or a signal that is answered between two steps.

0 done; 2 wrong option or configuration; 3 data missing or corrupt; 4 the loss is not finite; 5 checkpoint refused;
130 Ctrl-C and 143 SIGTERM, both after saving.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from data import DataError
from training.checkpoint import CheckpointError

CONFIGURATION, DATA, NOT_FINITE, CHECKPOINT = 2, 3, 4, 5


@contextmanager
def refuse(code: int, *errors: type[Exception]) -> Iterator[None]:
    """Turns these errors, a user's mistakes, into their message on stderr and the exit code."""
    try:
        yield
    except errors as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(code) from None


@contextmanager
def refuse_mistakes() -> Iterator[None]:
    """What a user can get wrong about a run: its options, its data, its checkpoint; each with its exit code."""
    with refuse(CHECKPOINT, CheckpointError), refuse(DATA, DataError), refuse(CONFIGURATION, ValueError, TypeError):
        yield


class Interrupts:
    """Remembers SIGINT and SIGTERM, so that the loop can save before it leaves; a second one leaves at once."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    @property
    def exit_code(self) -> int:
        return 128 + int(self.received or 0)

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._remember) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            raise SystemExit(128 + number)
        self.received = signal.Signals(number)
