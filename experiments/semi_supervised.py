"""M2 on MNIST with a hundred labels: python -m experiments.semi_supervised.

Kingma et al. (2014, Semi-supervised Learning with Deep Generative Models, 1406.5298): p(y) p(z) p(x|y, z) with
q(y|x) q(z|x, y). y is summed over and z takes the path: `elbolab.PerSite`. The classifier q(y|x) is convolutional and
sees a turned, scaled and shifted view of each image; the decoder explains the image as it is. It has dropout, so it is
called once a step, and the guide is given its logits: `PerSite` runs a guide more than once, and would see other masks.
"""

import sys
import time

import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import elbolab
from data import MNIST
from training import Parser

PIXELS, CLASSES, STYLE, HIDDEN = 784, 10, 10, 300
BATCH, ALONE = 100, 300  # steps in which the classifier learns the labels alone
LABELLED = 0.017  # of the labelled data's ELBO, per datum, beside that of the others


class Model(nn.Module):
    """p(y) p(z) p(x|y, z); y is observed, or it is not."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Sequential(nn.Linear(STYLE + CLASSES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS))

    def forward(self, x: Tensor, logits: Tensor | None, y: Tensor | None = None) -> None:
        with pyro.plate("data", len(x)):
            y = pyro.sample("y", dist.OneHotCategorical(logits=torch.zeros(CLASSES)), obs=y)
            z = pyro.sample("z", dist.Normal(torch.zeros(STYLE), 1.0).to_event(1))
            both = torch.cat([z, y.expand(*z.shape[:-1], CLASSES)], -1)
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(both)).to_event(1), obs=x)


class Guide(nn.Module):
    """q(y|view of x) q(z|x, y); the logits of y are `classifier(view)`."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Sequential(
            *(nn.Unflatten(-1, (1, 28, 28)), nn.Conv2d(1, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2, 2)),
            *(nn.ReLU(), nn.Flatten(-3), nn.Dropout(0.3), nn.Linear(32 * 49, 128), nn.ReLU(), nn.Linear(128, CLASSES)),
        )
        self.of_x, self.of_y = nn.Linear(PIXELS, HIDDEN), nn.Linear(CLASSES, HIDDEN, bias=False)
        self.heads = nn.Linear(HIDDEN, 2 * STYLE)

    def forward(self, x: Tensor, logits: Tensor | None, y: Tensor | None = None) -> None:
        with pyro.plate("data", len(x)):
            if y is None:
                y = pyro.sample("y", dist.OneHotCategorical(logits=logits))
            location, log_scale = self.heads(F.relu(self.of_x(x) + self.of_y(y))).chunk(2, -1)
            pyro.sample("z", dist.Normal(location, log_scale.exp()).to_event(1))


def viewed(x: Tensor) -> Tensor:
    """Each image turned by at most a quarter radian, scaled by a tenth and shifted by two pixels."""
    angle, scale = 0.5 * (torch.rand(len(x)) - 0.5), 1 + 0.2 * (torch.rand(len(x)) - 0.5)
    shift = 0.3 * (torch.rand(len(x), 2) - 0.5)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(-1, 2, 2)
    grid = F.affine_grid(torch.cat([scale[:, None, None] * turn, shift[:, :, None]], -1), [len(x), 1, 28, 28], False)
    return F.grid_sample(x.view(-1, 1, 28, 28), grid, align_corners=False).flatten(1)


@torch.no_grad()
def error(guide: Guide, x: Tensor, y: Tensor, views: int) -> float:
    """The share of wrong classes; of several views the probabilities are averaged."""
    guide.eval()
    seen = [x] if views == 1 else [viewed(x) for _ in range(views)]
    found = torch.stack([guide.classifier(view).softmax(-1) for view in seen]).mean(0)
    guide.train()
    return (found.argmax(-1) != y).float().mean().item()


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="experiments.semi_supervised", description="M2 on MNIST with ten labels of each class.")
    parser.add_argument("--steps", type=int, default=8_000, help="of 100 images each")
    parser.add_argument("--seed", type=int, default=0, help="of the labelled images, the weights and the draws")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    splits = MNIST().splits()
    train, test = (torch.as_tensor(split).float().flatten(1) for split in (splits.train, splits.test))
    classes, truth = (torch.as_tensor(labels).long() for labels in (splits.train_labels, splits.test_labels))
    pyro.set_rng_seed(options.seed)
    order = torch.randperm(len(train))
    known = torch.cat([order[classes[order] == c][:10] for c in range(CLASSES)])
    seen, codes = train[known], F.one_hot(classes[known], CLASSES).float()
    model, guide = Model(), Guide()
    unlabelled, labelled = elbolab.PerSite(sites={"y": "Enumeration"}), elbolab.Pathwise()
    adam = torch.optim.Adam([*model.parameters(), *guide.parameters()], lr=1e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(adam, options.steps)
    start = time.process_time()
    for step in range(1, options.steps + 1):
        loss = F.cross_entropy(guide.classifier(viewed(seen)), codes)
        if step > ALONE:
            grey = train[torch.randint(len(train), (BATCH,))]
            logits = guide.classifier(viewed(grey))
            of_others = unlabelled.differentiable_loss(model, guide, torch.bernoulli(grey), logits)
            of_known = labelled.differentiable_loss(model, guide, torch.bernoulli(seen), None, codes)
            loss = loss + of_others / BATCH + LABELLED * of_known / len(seen)
        adam.zero_grad()
        loss.backward()
        adam.step()
        rate.step()
        if step % 1000 == 0 or step in (ALONE, options.steps):
            shares = "; ".join(f"{views} views {100 * error(guide, test, truth, views):.2f} %" for views in (1, 16))
            print(f"step {step}: test error of {shares}; {time.process_time() - start:.0f} s of a core", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
