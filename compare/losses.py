"""Is BCE + KL the ELBO? The hand-written losses beside Pyro's objectives: same noise, same parameters, float64."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path

import pyro
import torch
from pyro.infer import ELBO, Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor, nn

from compare import handwritten
from data import DataError
from guide.posteriors import DiagonalNormal
from model.likelihoods import Bernoulli
from model.priors import StandardNormal
from training import CheckpointError, Experiment, RunFolder, exits, refuse

TOLERANCE = 1e-10  # relative, in float64
SEED = 0  # of the noise that both sides are given


@dataclass(frozen=True, kw_only=True)
class Row:
    """One equality, in nats per datum; the gradient's difference is relative, the largest over all parameters."""

    by_hand: str
    by_pyro: str
    by_hand_value: float
    by_pyro_value: float
    value_apart: float
    gradient_apart: float
    worst_parameter: str

    @property
    def holds(self) -> bool:
        # Written so that a nan fails.
        return self.value_apart <= TOLERANCE and self.gradient_apart <= TOLERANCE


def losses(run: Path | None = None, *, batch: int = 128, json: Path | None = None, **experiment) -> int:  # noqa: ANN003
    """Compares and returns the exit code: 0 when every row holds, 1 when one does not.

    Args:
        run: the folder of a trained run; without it, a fresh model from the options of train.py.
        batch: how many training data are compared on.
        json: also write the rows to this file.
    """
    with (
        refuse(exits.CHECKPOINT, CheckpointError),
        refuse(exits.DATA, DataError),
        refuse(exits.CONFIGURATION, ValueError, TypeError),
    ):
        if batch < 1:
            raise ValueError("batch is at least 1")
        lab = Experiment.load(RunFolder(run), device=experiment["device"]) if run else Experiment(**experiment)
        refuse_unwritten(lab)
    x = lab.dataset.batch(torch.arange(min(batch, len(lab.dataset.train)), device=lab.device)).double()
    lab.objective.double()
    rows = compare(lab.model, lab.guide, x)
    print(table(rows, len(x)))
    if json:
        json.write_text(dumps([asdict(row) | {"holds": row.holds} for row in rows], indent=2) + "\n")
    return 0 if all(row.holds for row in rows) else 1


def refuse_unwritten(lab: Experiment) -> None:
    """The hand-written loss knows one model; for any other there is nothing to compare with."""
    written = (StandardNormal, Bernoulli, DiagonalNormal)
    given = (lab.model.prior, lab.model.likelihood, lab.guide.posterior)
    for part, cls in zip(given, written, strict=True):
        if type(part) is not cls:
            raise ValueError(f"nobody writes a loss by hand for {type(part).__name__}: this compares {cls.__name__}")


def compare(model: nn.Module, guide: nn.Module, x: Tensor) -> list[Row]:
    """The two equalities on one batch x."""

    def drawn() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        m, s = guide.posterior.location_and_log_variance(x)
        # The same call on the same generator as in Pyro's guide, so that both sides see the same noise.
        e = pyro.distributions.Normal(torch.zeros_like(m), torch.ones_like(s)).rsample()
        z = handwritten.reparameterize(m, s, e)
        (logits,) = model.likelihood.decode(z)
        return logits, z, m, s

    def analytic() -> Tensor:
        logits, _, m, s = drawn()
        return (handwritten.cross_entropy(logits, x) + model.beta * handwritten.kl(m, s)).sum()

    def sampled() -> Tensor:
        logits, z, m, s = drawn()
        return (handwritten.cross_entropy(logits, x) + model.beta * handwritten.sampled_kl(z, m, s)).sum()

    return [
        _row("BCE + KL", analytic, TraceMeanField_ELBO(), model, guide, x),
        _row("BCE + log q(z|x) - log p(z)", sampled, Trace_ELBO(), model, guide, x),
    ]


def _row(name: str, by_hand: Callable[[], Tensor], elbo: ELBO, model: nn.Module, guide: nn.Module, x: Tensor) -> Row:
    objective = elbo(model, guide)
    hand_value, hand_gradients = _value_and_gradients(by_hand, objective)
    pyro_value, pyro_gradients = _value_and_gradients(lambda: objective(x), objective)
    apart = {name: relative(hand_gradients[name], pyro_gradients[name]) for name in hand_gradients}
    worst = max(apart, key=lambda name: (apart[name] != apart[name], apart[name]))
    return Row(
        by_hand=name,
        by_pyro=type(elbo).__name__,
        by_hand_value=hand_value.item() / len(x),
        by_pyro_value=pyro_value.item() / len(x),
        value_apart=relative(hand_value, pyro_value),
        gradient_apart=apart[worst],
        worst_parameter=worst,
    )


def _value_and_gradients(loss: Callable[[], Tensor], objective: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
    pyro.set_rng_seed(SEED)
    value = loss()
    names, parameters = zip(*objective.named_parameters(), strict=True)
    return value.detach(), dict(zip(names, torch.autograd.grad(value, parameters), strict=True))


def relative(a: Tensor, b: Tensor) -> float:
    """max |a - b| / max(|a|, |b|), 0 where both vanish."""
    size = torch.maximum(a.abs().max(), b.abs().max())
    return ((a - b).abs().max() / size).item() if size != 0 else 0.0


def table(rows: list[Row], count: int) -> str:
    """The rows as text."""
    lines = [f"{count} data, float64, the same noise on both sides; values in nats per datum", ""]
    lines.append(f"{'by hand':30}{'':18}{'by Pyro':22}{'':18}{'value':>10}{'gradients':>12}")
    for row in rows:
        lines.append(
            f"{row.by_hand:30}{row.by_hand_value:<18.12f}{row.by_pyro:22}{row.by_pyro_value:<18.12f}"
            f"{row.value_apart:>10.1e}{row.gradient_apart:>12.1e}  {'equal' if row.holds else 'DIFFERENT'}"
        )
    failed = [f"{row.by_hand}: largest gradient difference in {row.worst_parameter}" for row in rows if not row.holds]
    return "\n".join([*lines, "", f"relative differences; equal means at most {TOLERANCE:g}", *failed])
