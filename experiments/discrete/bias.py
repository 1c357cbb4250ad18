"""How far biased estimators are off the exact gradient, and what training by them loses.

python -m experiments.discrete.bias: ten bits, whose 1024 codes Enumeration sums over.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pyro
import torch
from torch import Tensor

import elbolab
from elbolab.graph.capture import trained
from elbolab.studying.replicated_objective import ReplicatedObjective
from elbolab.studying.study import MEMORY
from experiments.discrete.table import PLAN, Job, run, stages
from training import Experiment, Parser, RunFolder

BLOCKS = 20
RATE = 3e-3  # as bits.yaml has it


def exact(lab: Experiment, x: Tensor) -> Tensor:
    """The gradient of the loss in nats per datum with respect to the guide's parameters, as one vector."""
    objective = elbolab.Enumeration()(lab.model, lab.guide)
    parameters = [p for name, p in trained(objective).items() if name.startswith("guide.")]
    gradients = torch.autograd.grad(objective(x) / len(x), parameters)
    return torch.cat([g.flatten() for g in gradients]).double()


def off(subject: ReplicatedObjective, known: Tensor, replicates: int) -> tuple[float, float]:
    """|E g - known| / |known| and its standard error: what noise adds to the square is left out, over blocks' means."""
    means = []
    for _ in range(BLOCKS):
        total = torch.zeros_like(known)
        for _, gradients in subject.draws(replicates // BLOCKS, MEMORY):
            rows = [g.flatten(1) for name, g in gradients.items() if name.startswith("guide.")]
            total += torch.cat(rows, 1).double().sum(0)
        means.append(total / (replicates // BLOCKS) - known)
    gaps = torch.stack(means)
    products = gaps @ gaps.T
    whole = _square(products)
    left = torch.stack([_square(products[keep][:, keep]) for keep in ~torch.eye(BLOCKS, dtype=torch.bool)])
    error = ((left - left.mean()).square().sum() * (BLOCKS - 1) / BLOCKS).sqrt()
    size, distance = known.norm().item(), whole.clamp(min=0).sqrt().item()
    # The square's error, carried to the root; where the square is within its error of 0, the root of that error.
    root = error.item() / (2 * distance) if whole > error else error.sqrt().item()
    return distance / size, root / size


def _square(products: Tensor) -> Tensor:
    """The mean product of the gaps of two different blocks: the square of the gap's expectation, without bias."""
    count = len(products)
    return (products.sum() - products.trace()) / (count * (count - 1))


def biases(folder: RunFolder, plan: dict[str, Any]) -> dict[str, tuple[float, float]]:
    lab = Experiment.load(folder)
    pyro.set_rng_seed(0)
    x = lab.first_data(plan["data"])
    known = exact(lab, x)
    found = {}
    for name, particles in plan["estimators"].items():
        subject = ReplicatedObjective(name, getattr(elbolab, name)(particles), lab.model, lab.guide, x)
        found[name] = off(subject, known, plan["replicates"])
        print(folder.path.name, name, found[name], flush=True)
    return found


@torch.no_grad()
def test_elbo(folder: RunFolder) -> float:
    """Over the whole test set, in nats per datum, exact."""
    lab = Experiment.load(folder)
    return -elbolab.Enumeration().loss(lab.model, lab.guide, lab.dataset.test) / len(lab.dataset.test)


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="experiments.discrete.bias", description="Bias against the sum over all codes.")
    parser.add_argument("--out", type=Path, default=Path("runs/discrete"), help="where the runs are")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    plan, out = PLAN["bias"], options.out / "bias"
    epochs, reference = plan["epochs"][-1], plan["reference"]
    job = Job("bits", reference, plan["estimators"][reference], 100, epochs, RATE, out)
    found: dict[str, Any] = plan | {"bias": {}, "elbo": {name: [] for name in plan["estimators"]}}
    for point, folder in stages(job, plan["epochs"]).items():
        found["bias"][point] = biases(folder, plan)
    for seed in range(plan["seeds"]):
        for name, particles in plan["estimators"].items():
            one = job._replace(estimator=name, particles=particles, seed=seed)
            rows = one.folder.metrics()
            if not rows or rows[-1]["epoch"] < epochs:
                run(one.folder, one.options)
            found["elbo"][name].append(test_elbo(one.folder))
            print(one.folder.path.name, found["elbo"][name][-1], flush=True)
            (out / "bias.json").write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
