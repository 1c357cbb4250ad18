"""One process writes a run: a lock that names its holder, and that the system takes back when the holder dies."""

import json
import os
import platform
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

FILE = ".lock"


class Lock:
    """The lock of a run's folder, from `take` to the end of the process or to `release`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = FileLock(self.path, timeout=0)

    def take(self) -> None:
        """Takes the lock, once or again.

        Raises:
            ValueError: another process has it; the message says which.
        """
        if self._lock.is_locked:
            return
        try:
            self._lock.acquire()
        except Timeout:
            raise ValueError(
                f"{self.path.parent} is being written by {self._holder()}: wait for it, or stop it"
            ) from None
        with self.path.open("w") as file:
            json.dump({"pid": os.getpid(), "host": platform.node(), "since": _now()}, file)

    def release(self) -> None:
        self._lock.release()

    def _holder(self) -> str:
        with suppress(OSError, ValueError, KeyError, TypeError):
            holder = json.loads(self.path.read_text())
            return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
        return "another process"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
