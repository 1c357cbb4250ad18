"""What can be chosen by name, and the table that `--list` prints."""

import inspect
from types import ModuleType

import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO

import data
import model
from data import Data
from elbolab import estimators
from elbolab.estimators import Estimator
from elbolab.programs.kl import analytic_kl
from guide import posteriors
from guide.posteriors import Posterior
from model import MLP, Network, likelihoods, priors
from model.likelihoods import Likelihood
from model.priors import Prior
from training import annealing, loggers

# Pyro's classes that do on these programs what they say, and what that is.
ELBOS = {
    Trace_ELBO: "log p(x, z) - log q(z|x) at drawn z; pathwise gradient, or score function where q has none.",
    TraceMeanField_ELBO: "log p(x|z) at drawn z - KL(q || p) in closed form where there is one; pathwise gradient.",
}


def offered(package: ModuleType, base: type) -> tuple[type, ...]:
    """The classes that a package names in its `__all__`, without their contract."""
    classes = (getattr(package, name) for name in package.__all__)
    return tuple(c for c in classes if isinstance(c, type) and issubclass(c, base) and c is not base)


# torch.optim's that take steps of another kind: with closures, sparse gradients or matrices alone.
_OTHER_STEPS = ("LBFGS", "SparseAdam", "Muon")
OPTIMIZERS = tuple(c for c in offered(torch.optim, torch.optim.Optimizer) if c.__name__ not in _OTHER_STEPS)
# torch.optim.lr_scheduler's that take functions, other schedulers or a score, instead of going by the step alone.
_OTHER_SCHEDULES = ("LambdaLR", "MultiplicativeLR", "ChainedScheduler", "SequentialLR", "ReduceLROnPlateau")
SCHEDULES = tuple(
    c
    for c in offered(torch.optim.lr_scheduler, torch.optim.lr_scheduler.LRScheduler)
    if c.__name__ not in _OTHER_SCHEDULES
)
# Of Pyro's ELBO classes, for enumeration, its tracing JIT and losses that are not here: these programs ask for none.
# Of schedulers, where they stand: the loop knows.
INERT = frozenset(
    {
        "ignore_jit_warnings",
        "jit_options",
        "last_epoch",
        "max_iarange_nesting",
        "retain_graph",
        "strict_enumeration_warning",
        "tail_adaptive_beta",
    }
)

CHOICES: dict[str, tuple[type, ...]] = {
    "data": offered(data, Data),
    "prior": offered(priors, Prior),
    "likelihood": offered(likelihoods, Likelihood),
    "guide": offered(posteriors, Posterior),
    "network": offered(model, Network),
    "elbo": (*ELBOS, *offered(estimators, Estimator)),
    "annealing": (annealing.Linear, annealing.Cyclical),
    "log": (loggers.TensorBoard, loggers.CSV),
}
# All that is named, PyTorch's classes too.
NAMED = CHOICES | {"optimizer": OPTIMIZERS, "schedule": SCHEDULES}


def first_line(cls: type) -> str:
    """What a class says of itself in one line."""
    return ELBOS.get(cls) or (inspect.getdoc(cls) or "").strip().splitlines()[0]


def example(cls: type, latent: int = 2) -> torch.distributions.Distribution:
    """The distribution of a freshly built prior or posterior, on data of two pixels."""
    if issubclass(cls, Posterior):
        return cls((2,), latent, MLP(4))(torch.zeros(3, 2))
    prior = cls(latent)
    prior.prepare(posteriors.DiagonalNormal((2,), latent, MLP(4)), torch.zeros(3, 2))
    return prior()


def analytic_pairs() -> dict[str, list[str]]:
    """For every guide, the priors to which its KL has a closed form."""

    def analytic(guide: type, prior: type) -> bool:
        q = example(guide)
        return prior.support is guide.support and analytic_kl(q, example(prior).expand(q.batch_shape)) is not None

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        return {
            guide.__name__: [prior.__name__ for prior in CHOICES["prior"] if analytic(guide, prior)]
            for guide in CHOICES["guide"]
        }


def table() -> str:
    """Every class that an option takes, one line each, and the pairs with an analytic KL."""
    lines = []
    for option, classes in NAMED.items():
        lines += ["", f"--{option}"]
        lines += [f"  {cls.__name__:<30}{first_line(cls)}" for cls in classes]
    lines += ["", "KL(guide || prior) in closed form, for TraceMeanField_ELBO; sampled for every other pair"]
    lines += [f"  {guide:<30}{', '.join(found) or '-'}" for guide, found in analytic_pairs().items()]
    return "\n".join(lines[1:])
