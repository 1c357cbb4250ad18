"""What there is to be known of a machine with a CUDA card, in one command: `make card` writes benchmarks/DATE-card.md.

The tests marked `cuda`, `compare speed`, 20 epochs of training, and how often a compiled step makes the host wait.
`--device cpu` is a rehearsal without a card.
"""

import argparse
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
WAITS = """
import torch
from compare.speed.command import NETWORKS, _images
from compare.speed.contenders import CapturedMeanField, Workload
device = torch.device({device!r})
step = CapturedMeanField(Workload(NETWORKS["784-400-20"](), _images(128, "dynamic", device), 128, 20, device))
step(10)
with torch.profiler.profile() as profile:
    for _ in range(50):
        step.step(step.workload.index)
events = profile.events()
waits = [e.name for e in events if "Synchronize" in e.name or "DtoH" in e.name]
kernels = [e.name for e in events if e.device_type == torch.autograd.DeviceType.CUDA]
print(f"host waits in 50 steps: {{len(waits)}} {{sorted(set(waits))}}; kernels a step: {{len(kernels) / 50}}")
"""


def commands(device: str, data: str, folder: str) -> dict[str, list[str]]:
    speed = ["-m", "compare", "speed", "--device", device, "--rounds", "5", "--batches", "[128]", "--out"]
    return {
        "Tests": ["-m", "pytest", "-q", "-m", "cuda", "tests"],
        "Speed": [*speed, f"{folder}/speed"],
        "Training": [
            "train.py",
            "--data",
            data,
            "--epochs",
            "20",
            "--device",
            device,
            "--compile",
            "on",
            "--out",
            folder,
        ],
        "Host waits": ["-c", WAITS.format(device=device)],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data", default="MNIST", help="a data set by name; Digits needs no download")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    today = datetime.now(UTC).date().isoformat()
    out = options.out or ROOT / "benchmarks" / f"{today}-card.md"
    parts, failed = [f"# {options.device}, {today}"], 0
    with TemporaryDirectory() as folder:
        for title, command in commands(options.device, options.data, f"{folder}/run").items():
            start = time.perf_counter()
            done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
            seconds, said = (
                time.perf_counter() - start,
                (done.stdout + done.stderr[-2000:] * bool(done.returncode)).strip(),
            )
            no_tests = title == "Tests" and done.returncode == 5
            failed += bool(done.returncode) and not no_tests
            parts.append(f"## {title}: {seconds:.0f} s, exit code {done.returncode}\n\n```\n{said}\n```")
    out.write_text("\n\n".join(parts) + "\n")
    print(out)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
