"""What must hold before a first step: nothing starts that would silently optimise something else."""

from collections.abc import Callable, Iterator, Sequence

import torch
from pyro.distributions import constraints
from pyro.infer import ELBO
from torch import Tensor

from data import Dataset
from data.on_disk import blocks
from elbolab.distributions import open_unit_interval
from elbolab.graph.capture import generators_kept
from guide.posteriors import Posterior
from model.likelihoods import Likelihood
from model.priors import Prior
from training.catalogue import CHOICES, ELBOS, OPTIMIZERS, SCHEDULES


def names(classes: Sequence[type]) -> str:
    return ", ".join(cls.__name__ for cls in classes) or "none"


def check_loop(*, epochs: int, batch_size: int, beta_warmup: int, clip: float, patience: int | None) -> None:
    """Says which option of the loop is wrong."""
    whole = {"epochs": (epochs, 1), "batch_size": (batch_size, 1), "beta_warmup": (beta_warmup, 0)}
    for name, (value, least) in (whole | {"patience": (patience, 1)}).items():
        if value is not None and value < least:
            raise ValueError(f"{name} = {value}: at least {least}")
    if not clip > 0:
        raise ValueError(f"clip = {clip}: the longest gradient's length is positive")


def check_patience(patience: int | None, dataset: Dataset) -> None:
    """Whether there is something to be patient about: nothing is chosen by the test set."""
    if patience is not None and dataset.validation is None:
        raise ValueError(f"patience = {patience} is judged on a validation split: add --data.validation 0.1")


def check_objective(elbo: ELBO) -> None:
    """Pyro has more ELBO classes than do what they say on these programs; those that do are offered."""
    if type(elbo).__module__.startswith("pyro.") and type(elbo) not in ELBOS:
        raise ValueError(f"elbo = {type(elbo).__name__} is not offered here; there are: {names(CHOICES['elbo'])}")


def check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Of PyTorch's and Pyro's optimisers those are offered that step down a dense gradient that they are given."""
    if type(optimizer).__module__.split(".")[0] in ("torch", "pyro") and type(optimizer) not in OPTIMIZERS:
        raise ValueError(f"optimizer = {type(optimizer).__name__} is not offered; there are: {names(OPTIMIZERS)}")


def check_schedule(schedule: torch.optim.lr_scheduler.LRScheduler) -> None:
    """Of PyTorch's schedulers those are offered that go by the step alone: a score to judge by is not the loop's."""
    ours = type(schedule).__module__.split(".")[0] == "torch"
    if (ours and type(schedule) not in SCHEDULES) or isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise ValueError(f"schedule = {type(schedule).__name__} is not offered; there are: {names(SCHEDULES)}")


def check_latents(prior: Prior, posterior: Posterior) -> None:
    """Guide and prior put their mass in the same place, or the KL is infinite or a density meets a probability."""
    if prior.support is posterior.support:
        return
    priors = [cls for cls in CHOICES["prior"] if cls.support is posterior.support]
    guides = [cls for cls in CHOICES["guide"] if cls.support is prior.support]
    raise ValueError(
        f"the guide {type(posterior).__name__} draws z from {_set(posterior.support)}, the prior"
        f" {type(prior).__name__} lives on {_set(prior.support)}. Priors for this guide: {names(priors)}."
        f" Guides for this prior: {names(guides)}"
    )


def check_support(likelihood: Likelihood, dataset: Dataset) -> None:
    """Every value that is trained or tested on must lie where the likelihood puts its mass."""
    outside = (x[~likelihood.support.check(x)] for x in _seen(dataset))
    wrong = next((values.flatten()[0].item() for values in outside if len(values)), None)
    if wrong is None:
        return
    ways = []
    takes_bits = likelihood.support.check(torch.tensor([0.0, 1.0])).all()
    if takes_bits and dataset.binarize == "no" and all(x.min() >= 0 and x.max() <= 1 for x in _seen(dataset)):
        ways.append("binarise them (--data.binarize dynamic)")
    if likelihood.support is open_unit_interval and dataset.levels:
        ways.append("dequantise them (--data.dequantize true)")
    fitting = list(CHOICES["likelihood"])
    for x in _seen(dataset):
        fitting = [cls for cls in fitting if cls.support.check(x).all()]
    if fitting:
        ways.append(f"choose --likelihood {names(fitting)}")
    raise ValueError(
        f"the likelihood {type(likelihood).__name__} is for data in {_set(likelihood.support)}, but these hold"
        f" {wrong:.4g}: {', or '.join(ways) or 'no likelihood here fits them'}"
    )


def _seen(dataset: Dataset) -> Iterator[Tensor]:
    """What of the data a likelihood meets, some at a time: test, validation and, unless they are spread, train."""
    train, *others = dataset.parts()
    for part in others:
        yield from blocks(part)
    if not dataset.dequantize:
        for x in blocks(train):
            yield (x > 0).to(x) if dataset.binarize == "dynamic" else x  # what a Bernoulli draw can give


def _set(support: constraints.Constraint) -> str:
    known = {
        constraints.boolean: "{0, 1}",
        constraints.real_vector: "the real vectors",
        constraints.one_hot: "the one-hot vectors",
        constraints.unit_interval: "[0, 1]",
        constraints.simplex: "the simplex",
        constraints.nonnegative_integer: "{0, 1, 2, ...}",
    }
    return known.get(support) or known.get(getattr(support, "base_constraint", None), str(support))


def check_runs(objective: torch.nn.Module, x: Tensor) -> None:
    """One validated run of both programs: a shape that does not fit is said here, in Pyro's words, not at step 1."""
    try:
        with torch.no_grad():
            objective(x)
    except (RuntimeError, IndexError, NotImplementedError, AssertionError) as error:
        raise ValueError(f"model and guide do not run together on these data: {_said(error)}") from error


def check_fewest(objective: torch.nn.Module, batch_of: Callable[[int], Tensor], fewest: int) -> None:
    """Whether both programs train on a single datum, where a batch will hold no more: batch normalisation does not."""
    if fewest > 1:
        return
    x = batch_of(1)
    before = [(value, value.clone()) for value in objective.buffers()]
    try:
        with generators_kept(x.device), torch.no_grad():
            objective(x)
    except ValueError as error:
        raise ValueError(
            "batch_size leaves a batch of one datum, on which these networks do not train:"
            f" {_said(error).splitlines()[0]}. Another --batch_size leaves more"
        ) from error
    finally:
        for value, kept in before:
            value.copy_(kept)


def _said(error: Exception) -> str:
    """An error in its own words; where it has none, what it comes from here."""
    if str(error).strip():
        return str(error)
    return f"{type(error).__name__}; a flow without an inverse has no density but at its own draws (NeuralFlow)"
