"""How a program ends: one clear message and an exit code, or a signal that is answered between two steps.

0 done; 2 wrong option or configuration; 3 data missing or corrupt; 4 the loss is not finite, or the run diverged;
5 checkpoint refused; 6 a file cannot be written; 129, 130 and 143 for SIGHUP, SIGINT (Ctrl-C) and SIGTERM, while
training after saving.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from data import DataError
from training.checkpoint import CheckpointError

CONFIGURATION, DATA, NOT_FINITE, CHECKPOINT, WRITING = 2, 3, 4, 5, 6
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LINES = 3


def said(message: str) -> str:
    """At most three lines, whatever a library had to say."""
    lines = [line.rstrip() for line in message.splitlines() if line.strip()]
    return "\n".join(lines if len(lines) <= _LINES else [*lines[: _LINES - 1], f"{lines[_LINES - 1]} ..."])


def leave(code: int, message: str) -> SystemExit:
    """Says what is wrong and returns what ends the program."""
    print(said(f"error: {message}"), file=sys.stderr)
    return SystemExit(code)


@contextmanager
def refuse(code: int, *errors: type[Exception]) -> Iterator[None]:
    """Turns these errors, a user's mistakes, into their message on stderr and the exit code."""
    try:
        yield
    except errors as error:
        if _of_memory(error):
            raise
        raise leave(code, str(error)) from None


@contextmanager
def refuse_mistakes() -> Iterator[None]:
    """What a user can get wrong about a run: its options, its data, its checkpoint; each with its exit code."""
    with refuse(CHECKPOINT, CheckpointError), refuse(DATA, DataError), refuse(CONFIGURATION, ValueError, TypeError):
        yield


@contextmanager
def answered() -> Iterator["Interrupts"]:
    """Around a whole program: signals, and what the machine refuses, memory and files, get one line each."""
    with Interrupts() as interrupts:
        try:
            yield interrupts
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            raise leave(WRITING, f"{place}{error.strerror or error}") from None
        except (MemoryError, RuntimeError) as error:
            if not _of_memory(error):
                raise
            reason = (str(error).splitlines() or ["a smaller batch, network or number of particles may fit"])[0]
            raise leave(CONFIGURATION, f"there is not enough memory for it: {reason}") from None


def _of_memory(error: Exception) -> bool:
    """Python's, or the allocators' of PyTorch."""
    words = ("can't allocate memory", "not enough memory", "out of memory", "Storage size calculation overflowed")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(part in str(error) for part in words)
    )


class Interrupted(BaseException):
    """A signal came while nothing is changing that would have to be finished first."""


class Interrupts:
    """Answers SIGINT, SIGTERM and SIGHUP: outside the loop at once, in it after the step; a second one at once.

    `patiently` is the loop; `at_once`, in it, is for what takes long and changes nothing.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._patient = self._breaks = False

    @property
    def exit_code(self) -> int:
        return 128 + int(self.received or 0)

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._answer) for number in _SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def patiently(self) -> Iterator[None]:
        """Signals are remembered, for the loop to save before it leaves."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """A signal raises Interrupted."""
        self._breaks = True
        try:
            yield
        finally:
            self._breaks = False

    def _answer(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.received or not self._patient:
            print(f"stopped by {name}", file=sys.stderr)
            raise SystemExit(128 + number)
        self.received = signal.Signals(number)
        if self._breaks:
            raise Interrupted
        print(f"{name}: saving after this step; once more to leave at once", file=sys.stderr)
