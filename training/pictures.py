"""Which pictures of a run are drawn: what can be seen depends on the latents and on the data."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
from matplotlib.figure import Figure
from pyro.distributions import constraints
from torch import Tensor

from training import figures
from training.cells import cell
from training.experiment import Experiment
from training.history import judged_on
from training.run import BLOCK, posterior_centres
from training.run_folder import FIGURES, RunFolder

_FEW = 64  # codes that are all shown
_TOP = 8  # columns of a latent
_LATENTS = 24  # that get a panel
_BITS = 12  # of a code in a line


def draw(lab: Experiment, means: Tensor, folder: RunFolder, history: list[dict], shown: int) -> None:
    """Writes the pictures of a run, and removes those of an earlier time that it has no more."""
    drawn: dict[str, Figure] = dict(Pictures(lab, means, shown).all())
    if history:
        drawn["curves"] = figures.curves(history, judged_on(history[0]))
    for name in FIGURES:
        path = folder.path / "figures" / f"{name}.png"
        if name in drawn:
            figures.save(drawn[name], path)
        else:
            path.unlink(missing_ok=True)


class Pictures:
    """What can be seen of a trained model and guide on the test set.

    Args:
        lab: model, guide and data.
        means: E_q[z] of the test data, shape (data, latent).
        shown: how many data stand in a row.
    """

    def __init__(self, lab: Experiment, means: Tensor, shown: int) -> None:
        self.lab, self.means = lab, means
        self.test = lab.dataset.test
        self.columns = lab.dataset.columns
        self.cell = cell(self.test.cpu().numpy(), self.columns)
        self.shown = min(shown, len(self.test), max(2, round(shown * 0.8 / self.cell.size[0])))
        # All over the test set: in a folder of classes, the first ones are all of one class.
        self.chosen = torch.linspace(0, len(self.test) - 1, self.shown).long()
        self.discrete = lab.model.prior.support in (constraints.boolean, constraints.one_hot)
        self.labels = figures.Labels(lab.dataset.test_labels, lab.dataset.label_names, len(self.test))

    def all(self) -> Iterator[tuple[str, Figure]]:
        yield "reconstructions", self.reconstructions()
        yield "samples", self.samples()
        if self.discrete:
            yield "codes", self.codes()
        else:
            yield "walk", self.walk()
        if self.means.shape[1] == 1 and not self.discrete:
            yield "latent", self.line()
        elif self.lab.model.prior.support is not constraints.one_hot:  # of which `codes` shows the shares
            yield "latent", self.plane()
        if self.columns is not None and self.test.dim() == 2:
            yield "columns", self.top_columns()

    @torch.no_grad()
    def _decoded(self, z: Tensor) -> np.ndarray:
        return torch.cat([self.lab.model.decode(block).mean for block in z.split(BLOCK)]).cpu().numpy()

    def reconstructions(self) -> Figure:
        x = self.test[self.chosen]
        pairs = [x.cpu().numpy(), self._decoded(posterior_centres(self.lab, x))]
        of = "at q(z|x)'s most\nprobable code" if self.discrete else "at the mean\nof q(z|x)"
        labels = ["test data", f"mean of p(x|z)\n{of}"]
        return figures.grid(pairs, self.cell, "Reconstructions", labels=labels)

    def samples(self) -> Figure:
        with torch.no_grad():
            z = self.lab.model.prior().sample(torch.Size([5 * self.shown]))
        drawn = self._decoded(z)
        rows = drawn.reshape(5, self.shown, *drawn.shape[1:])
        return figures.grid(rows, self.cell, "Means of p(x|z) for z drawn from the prior")

    def walk(self) -> Figure:
        """From a datum to another: both themselves at the ends, between them the data that the way decodes to."""
        steps = torch.linspace(0, 1, max(2, self.shown - 2), device=self.means.device)[:, None]
        rows = []
        half = min(self.shown, 10) // 2
        for pair in torch.stack([self.chosen[:half], self.chosen[-half:]], 1):
            one, other = self.means[pair]
            way = self._decoded(one + steps * (other - one))
            ends = self.test[pair].cpu().numpy()
            rows.append(np.concatenate([ends[:1], way, ends[1:]]))
        between = [f"{step:.0%}" for step in steps[1:-1, 0].tolist()]
        heads = ["datum", "its z", *between, "its z", "datum"]
        return figures.grid(rows, self.cell, "Walks between two test data, in z", heads=heads)

    def line(self) -> Figure:
        """A single latent: the means of q(z|x) above what z decodes to along the line."""
        low, high = np.quantile(self.means.cpu().numpy(), (0.01, 0.99))
        at = torch.linspace(low, high, self.shown, device=self.means.device, dtype=self.means.dtype)
        z = self.means[:, 0].cpu().numpy()
        return figures.latent_line(z, self.labels, at.cpu().numpy(), self._decoded(at[:, None]), self.cell)

    def plane(self) -> Figure:
        """Two latents, or the two principal directions of more."""
        if self.means.shape[1] == 2:
            return figures.latent_space(self.means.cpu().numpy(), self.labels, None)
        centred = self.means - self.means.mean(0)
        _, spread, directions = torch.linalg.svd(centred, full_matrices=False)
        plane = torch.nn.functional.pad(centred @ directions[:2].T, (0, max(0, 2 - self.means.shape[1])))
        kept = (spread[:2].square().sum() / spread.square().sum().clamp(min=1e-30)).item()
        return figures.latent_space(plane.cpu().numpy(), self.labels, kept)

    @torch.no_grad()
    def codes(self) -> Figure:
        """Every code once where they are few, the most used ones where they are many, with its probabilities."""
        z, several = self._codes()
        prior = self.lab.model.prior().log_prob(z).exp()
        used = torch.zeros(len(z), device=z.device, dtype=z.dtype)
        for x in self.test.split(BLOCK):
            q = self.lab.guide.posterior(x)
            used += torch.stack([q.log_prob(code.expand(len(x), -1)).exp().sum() for code in z]) / len(self.test)
        order = used.argsort(descending=True, stable=True)[: 40 if several else None]
        names = [self._code(code) for code in z[order]]
        numbers = zip(names, prior[order].tolist(), used[order].tolist(), strict=True)
        heads = [f"{name}\np {_percent(p)}, q {_percent(q)}" for name, p, q in numbers]
        which = f"the {len(order)} most used codes" if several else f"all {len(order)} codes"
        title = f"mean of p(x|z) at {which}\np: probability in the prior, q: mean over the test set of q(z|x)"
        return figures.codes(self._decoded(z[order]), heads, self.cell, title)

    def _codes(self) -> tuple[Tensor, bool]:
        """The codes, and whether these are only those that the test data have."""
        latent, like = self.means.shape[1], self.means
        if self.lab.model.prior.support is constraints.one_hot:
            every = torch.eye(latent, device=like.device, dtype=like.dtype)
        elif 2**latent <= _FEW:
            every = torch.tensor(list(product((0.0, 1.0), repeat=latent))).to(like)
        else:
            every = posterior_centres(self.lab, self.test).unique(dim=0)
            return every, True
        return every, len(every) > _FEW

    def _code(self, code: Tensor) -> str:
        if self.lab.model.prior.support is constraints.one_hot:
            return f"code {int(code.argmax())}"
        bits = "".join(str(int(bit)) for bit in code)
        lines = [bits[start : start + _BITS] for start in range(0, len(bits), _BITS)]
        return "\n".join(lines if len(lines) <= 2 else [lines[0], f"{lines[1][:-1]}…"])

    def top_columns(self) -> Figure:
        """For every latent, the columns whose mean it moves most, up or down."""
        one_hot = self.lab.model.prior.support is constraints.one_hot
        weight = self.means.mean(0) if one_hot else self.means.std(0)
        deviation = self.lab.dataset.train.std(0).cpu().numpy()
        deviation = np.where(deviation > 0, deviation, np.inf)  # a column that never changes is not moved
        panels = []
        for k in weight.argsort(descending=True, stable=True)[:_LATENTS].tolist():
            low, high = (self._decoded(z).mean(0) for z in self._moved(k))
            change = (high - low) / deviation
            first = np.argsort(-np.abs(change), kind="stable")[:_TOP]
            first = first[np.argsort(-change[first], kind="stable")]
            panels.append((f"code {k}" if one_hot else f"z[{k}]", [self.columns[i] for i in first], change[first]))
        moved = {constraints.one_hot: "this code beside those of the test data", constraints.boolean: "bit 1 beside 0"}
        how = moved.get(self.lab.model.prior.support, "z one standard deviation above its mean beside one below")
        order = f"{len(panels)} of {len(weight)} latents, by their " + ("use" if one_hot else "spread")
        title = f"The columns that each latent moves most\n{how}; {order}"
        return figures.top_columns(panels, title, "change of the column's mean, in its standard deviations")

    def _moved(self, k: int) -> tuple[Tensor, Tensor]:
        """Codes without and with latent k, shape (codes, latent) each."""
        if self.lab.model.prior.support is constraints.one_hot:
            code = torch.zeros_like(self.means[:1])
            code[:, k] = 1
            return posterior_centres(self.lab, self.test), code
        discrete = self.lab.model.prior.support is constraints.boolean
        low = posterior_centres(self.lab, self.test) if discrete else self.means.mean(0, keepdim=True)
        high, spread = low.clone(), self.means[:, k].std()
        low[:, k], high[:, k] = (0, 1) if discrete else (low[:, k] - spread, low[:, k] + spread)
        return low, high


def _percent(share: float) -> str:
    return f"{share:.0%}" if share == 0 or share >= 0.01 else "<1%"
