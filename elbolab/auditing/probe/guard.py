"""Somebody's code is run without harm: it may print, exit or never come back, and the caller's state is kept."""

import contextlib
import io
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from unittest import mock

import numpy as np
import torch

from elbolab.generators import kept_generators

LIMIT = 12.0  # seconds of computing that one audit may take, unless it is told otherwise
TICK = 0.25  # seconds between two looks at the clock


class Left(BaseException):
    """The code wanted to end the program; no `except Exception` of its own holds this up."""


class TimeUp(BaseException):
    """The code took too long; the same."""


class _Printed(io.TextIOBase):
    """Where what a loss prints goes: nowhere."""

    def write(self, text: str) -> int:
        return len(text)

    def writable(self) -> bool:
        return True


@contextmanager
def guarded() -> Iterator[None]:
    """What is printed is swallowed; leaving the program is a `Left`."""

    def leave(code: object = None) -> None:
        raise Left(f"the code ends the program (os._exit, with {code!r})")

    silent = _Printed()
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent), mock.patch.object(os, "_exit", leave):
        try:
            yield
        except SystemExit as error:
            raise Left(f"the code ends the program (sys.exit, with {error.code!r})") from error


@contextmanager
def time_limited(seconds: float) -> Iterator[None]:
    """Code that computes for longer, or sleeps for four times as long, is interrupted, where the platform has alarms.

    On a machine with more to do than it has processors, the time that may be slept is up to five times as long.

    It has them in the main thread of a Unix program.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    started, worked, streams = time.monotonic(), time.process_time(), (sys.stdout, sys.stderr)
    due = [1.0]  # of the time that is allowed: a second alarm comes where the code's own `except:` caught the first

    def ring(_: int, __: FrameType | None) -> None:
        # Where others want the processors as well, to wait for them is not to sleep.
        patience = 4 * min(max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), 5.0)
        used = max((time.process_time() - worked) / seconds, (time.monotonic() - started) / (patience * seconds))
        if used > due[0]:
            due[0] = 1.5 * used
            raise TimeUp(f"it takes longer than {seconds:g} s (a loop that does not end?)")

    left, _ = signal.getitimer(signal.ITIMER_REAL)
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, TICK), TICK)
    try:
        yield
    finally:
        # The caller's handler before its alarm, which may be due at once.
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.stdout, sys.stderr = streams
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 1e-3))


@contextmanager
def callers_state_kept() -> Iterator[None]:
    """Leaves the caller's generators, threads, grad mode and warnings as they were."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)  # the probes are small: to wake a second thread takes longer than they do
    with torch.random.fork_rng(devices=[]), kept_generators(), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)


def seed_everything(seed: int) -> None:
    """Gives a loss that draws its own noise the same noise again."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would queue a call for CUDA at every probe
    np.random.seed(seed)
    random.seed(seed)
