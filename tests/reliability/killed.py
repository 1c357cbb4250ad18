"""A process that forks runs of train.py and kills them at the k-th point at which they touch the disk.

Everything is imported once; a fork costs nothing. Reads one JSON request a line, answers each with one line.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import torch

import data.files
import train
from training import RunFolder


class Points:
    """Counts the points at which a run touches the disk, and ends the process at one of them."""

    def __init__(self, at):
        self.at, self.passed = at, 0

    def __call__(self):
        if self.passed == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed += 1

    def around(self, function):
        def counted(*arguments, **options):
            self()
            result = function(*arguments, **options)
            self()
            return result

        return counted


def in_halves(file, points):
    """Writes so that a kill can come in the middle of it."""
    write = file.write

    def halves(content):
        half = len(content) // 2
        write(content[:half])
        file.flush()
        points()
        write(content[half:])
        file.flush()
        points()
        return len(content)

    file.write = halves
    return file


def watch(points):
    for name in ("replace", "link", "unlink", "mkdir"):
        setattr(os, name, points.around(getattr(os, name)))
    temporary = data.files.NamedTemporaryFile
    data.files.NamedTemporaryFile = lambda *a, **o: in_halves(temporary(*a, **o), points)

    def log(self, row):
        with (self.path / "metrics.jsonl").open("a") as file:
            in_halves(file, points).write(json.dumps(row) + "\n")

    RunFolder.log = log


def child(request, answer):
    log = Path(request["log"]).open("w")  # noqa: SIM115, the process ends with it
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    points = Points(request.get("at"))
    watch(points)
    if (after := request.get("after")) is not None:
        threading.Thread(target=lambda: (time.sleep(after), os.kill(os.getpid(), signal.SIGKILL)), daemon=True).start()
    try:
        code = train.main(request["arguments"])
    except SystemExit as stopped:
        code = stopped.code
    os.write(answer, json.dumps({"code": code, "points": points.passed}).encode())
    os._exit(0)


def main():
    torch.set_num_threads(1)
    for line in sys.stdin:
        receiving, answer = os.pipe()
        began = time.perf_counter()
        pid = os.fork()
        if not pid:
            os.close(receiving)
            child(json.loads(line), answer)
        os.close(answer)
        with os.fdopen(receiving) as pipe:
            said = pipe.read()
        os.waitpid(pid, 0)
        found = json.loads(said) if said else {"code": -9, "points": None}
        print(json.dumps(found | {"seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main()
