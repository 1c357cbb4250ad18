"""Simulation-based calibration: where the latents that made a datum lie among the guide's draws for it.

z ~ p(z), x ~ p(x|z): z is then an exact draw of the posterior p(z|x). Its place p among draws of q(z|x), coordinate by
coordinate, is uniform on (0, 1) where q has the posterior's marginals. A shift of its mean makes p lie to one side, and
only that (Yao, Vehtari, Simpson and Gelman, 2018, Yes, but Did It Work?, arXiv 1802.02538); a guide that is too narrow
puts p at both ends (Talts et al., 2018, Validating Bayesian Inference Algorithms, arXiv 1804.06788).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy import special
from torch import Tensor

from elbolab.judging.simulating import simulated
from elbolab.programs.draw import Draw


class Finding(NamedTuple):
    """What is wrong with a coordinate; `score` is a standard normal variable where nothing is."""

    coordinate: str
    wrong: str
    score: float


class Calibration(NamedTuple):
    """The places of simulated latents among the guide's draws, shape (simulations, coordinates), in (0, 1).

    `bias` and `width` are the first two components of Neyman's smooth test for uniformity, sqrt(n) mean L(p), L the
    normalised Legendre polynomials sqrt(3) (2p - 1) and sqrt(5) (6p^2 - 6p + 1): standard normal where the guide is
    calibrated, shape (coordinates,). bias > 0: the guide lies too low; width > 0: it is too narrow.
    """

    coordinates: tuple[str, ...]
    places: Tensor

    @property
    def bias(self) -> Tensor:
        return 3**0.5 * (2 * self.places - 1).mean(0) * len(self.places) ** 0.5

    @property
    def width(self) -> Tensor:
        p = self.places
        return 5**0.5 * (6 * p.square() - 6 * p + 1).mean(0) * len(p) ** 0.5

    def findings(self, level: float = 0.01) -> list[Finding]:
        """What is wrong, the worst first; on a calibrated guide there is anything at all with probability `level`."""
        limit = float(special.ndtri(1 - level / 2 / (2 * len(self.coordinates))))
        found = []
        for scores, below, above in ((self.bias, "too high", "too low"), (self.width, "too wide", "too narrow")):
            for name, score in zip(self.coordinates, scores.tolist(), strict=True):
                if abs(score) > limit:
                    found.append(Finding(name, above if score > 0 else below, score))
        return sorted(found, key=lambda finding: -abs(finding.score))


@torch.no_grad()
def calibration(
    model: Callable, guide: Callable, x: Tensor, *, simulations: int = 2000, draws: int = 100
) -> Calibration:
    """Looks at a guide q(z|x) on data that the model itself has drawn.

    Args:
        model, guide: the programs; the guide is a function of its data, as an encoder is.
        x: data to call them with; only their shape matters to most models.
        simulations: how many data are drawn.
        draws: of the guide for each of them.

    Raises:
        ValueError: the model observes other things than x, or the guide draws no latent of the model's.
    """
    data, latents = simulated(model, x, simulations)
    draw = Draw(model, guide, (data,), particles=draws, scaled=False)
    shared = [name for name in draw.posteriors if name in latents]
    if not shared:
        raise ValueError("the guide draws none of the model's latents by their names: there is nothing to compare")
    names, places = [], []
    for name in shared:
        event = len(draw.posteriors[name].event_shape)
        drawn, true = draw.rows(draw.values[name], event), draw.rows(latents[name][None], event)
        if drawn.shape[1] != simulations:
            raise ValueError(f"latent {name} is one for all data: what is looked at is a guide of one datum's latents")
        # Among equal values, as bits have them, the place is drawn: it is uniform then as well.
        below, same = (drawn < true).sum(0), (drawn == true).sum(0)
        places.append((below + torch.rand(below.shape, device=x.device) * (same + 1)) / (draws + 1))
        size = drawn.shape[2]
        names += [name] if size == 1 else [f"{name}[{i}]" for i in range(size)]
    return Calibration(tuple(names), torch.cat(places, 1).double())
