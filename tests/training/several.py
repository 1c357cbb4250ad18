"""Runs of train.py, one after the other in the same processes: torchrun ... -m tests.training.several JSON."""

import json
import sys

import train

if __name__ == "__main__":
    leave, train.Processes.leave = train.Processes.leave, lambda processes: None  # the next run needs the same group
    code = next((code for arguments in json.loads(sys.argv[1]) if (code := train.main(arguments))), 0)
    leave(train.Processes())
    sys.exit(code)
