"""The variance of discrete estimators at points of one training, at equal numbers of decoder evaluations.

python -m experiments.discrete.variance: the two layers of 200 and the 200 bits of Shi et al. (2022, 2202.09497).
"""

import json
import sys
from pathlib import Path
from typing import Any

import pyro
import torch

import elbolab
from experiments.discrete.table import PLAN, Job, stages
from training import Experiment, Parser, RunFolder

RATE = 1e-3  # as nonlinear.yaml has it


def variances(folder: RunFolder, plan: dict[str, Any]) -> dict[str, dict[str, tuple[float, float]]]:
    """Of the gradient with respect to the guide, by evaluations and estimator, each with its standard error.

    The sum over all parameters, in nats per datum squared, on one batch; what an estimator learns itself is learnt on
    this batch first, model and guide left as they are.
    """
    lab = Experiment.load(folder)
    pyro.set_rng_seed(0)
    x = lab.first_data(plan["data"])
    found = {}
    for evaluations, particles in plan["estimators"].items():
        several = {name: getattr(elbolab, name)(count) for name, count in particles.items()}
        results = elbolab.study(lab.model, lab.guide, x, several, replicates=plan["replicates"])
        found[str(evaluations)] = {one.label: (one.variance_guide, one.variance_guide_error) for one in results}
        print(folder.path.name, evaluations, found[str(evaluations)], flush=True)
    return found


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="experiments.discrete.variance", description="Variance at equal decoder evaluations.")
    parser.add_argument("--out", type=Path, default=Path("runs/discrete"), help="where the runs are")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    plan, out = PLAN["variance"], options.out / "variance"
    job = Job("nonlinear", plan["reference"], 1, 0, plan["epochs"][-1], RATE, out)
    found: dict[str, Any] = plan | {"variance": {}}
    for point, folder in stages(job, plan["epochs"]).items():
        found["variance"][point] = variances(folder, plan)
        (out / "variance.json").write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
