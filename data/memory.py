"""How much memory there is to take."""

from contextlib import suppress
from pathlib import Path

import psutil

_GROUP = Path("/sys/fs/cgroup")


def available() -> int:
    """Bytes that this process can take without the system having to swap, or its container having to stop it."""
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # no limit is the word "max"
        limit = int((_GROUP / "memory.max").read_text())
        free = min(free, limit - int((_GROUP / "memory.current").read_text()))
    return max(free, 0)


def words(count: float) -> str:
    """Bytes as a number of a size that can be read."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"
