"""From the ELBO to BCE + KL, link by link: the links that hold in expectation, checked over replicates."""

import numpy as np
import pyro
import torch
from pyro.infer import ELBO, Trace_ELBO, TraceMeanField_ELBO
from scipy import stats
from torch import Tensor

from compare.losses.case import SEED, Case
from compare.losses.rows import FALSE_ALARM, Row, equal, same_mean
from elbolab.oracles import LinearGaussian
from elbolab.programs.densities import densities
from elbolab.programs.kl import analytic_kl

REPLICATES = 150
ROWS = 16  # of the batch: replicates need few data, and they are many
PARTICLES = (1, 2, 4, 8, 16)


def _small(case: Case) -> Case:
    return Case(case.model, case.guide, case.x[:ROWS])


def _mean_gradient(case: Case, elbo: ELBO, count: int) -> Tensor:
    objective = case.objective(elbo)
    return sum(case.gradient(lambda: objective(case.x), seed=SEED + 10_000 + i)[1] for i in range(count)) / count


def _study(case: Case, elbo: ELBO, first_seed: int, direction: Tensor) -> tuple[Tensor, Tensor, float]:
    """Values and gradients along a direction, each of shape (replicates,), and the gradient's total variance."""
    objective = case.objective(elbo)
    values, along, first, second = [], [], 0.0, 0.0
    for i in range(REPLICATES):
        value, gradient = case.gradient(lambda: objective(case.x), seed=first_seed + i)
        values.append(value)
        along.append(gradient @ direction)
        first, second = first + gradient, second + gradient.square()
    spread = (second - first.square() / REPLICATES).sum().item() / (REPLICATES - 1)
    return torch.stack(values), torch.stack(along), spread


def both_estimates(case: Case) -> list[Row]:
    """5. Trace_ELBO and TraceMeanField_ELBO agree in expectation, value and gradient; which is noisier, it depends.

    The gradients are compared along their own mean direction, taken from draws apart from those that are tested: a
    factor or a term that is missing shows there.
    """
    small = _small(case)
    direction = _mean_gradient(small, TraceMeanField_ELBO(), 30)
    direction = direction / direction.norm()
    value, along, spread = _study(small, Trace_ELBO(), SEED, direction)
    other_value, other_along, other_spread = _study(small, TraceMeanField_ELBO(), SEED + REPLICATES, direction)
    noise = f"variance {value.var().item():.3g} against {other_value.var().item():.3g}"
    total = f"total variance {spread:.3g} against {other_spread:.3g}"
    return [
        same_mean("5", "Trace_ELBO, mean", "TraceMeanField_ELBO", value, other_value, note=noise),
        same_mean("5", "  its gradient, along the mean", "  the same", along, other_along, note=total),
    ]


def particles(case: Case) -> list[Row]:
    """6. One sample is enough to be unbiased: K samples leave the mean and divide the variance by K."""
    small = _small(case)
    draws = {}
    with torch.no_grad():
        for k in PARTICLES:
            objective = small.objective(Trace_ELBO(num_particles=k, vectorize_particles=True, max_plate_nesting=1))
            pyro.set_rng_seed(SEED + k)
            draws[k] = torch.stack([objective(small.x) for _ in range(REPLICATES)]) / len(small.x)
    fit = stats.linregress(np.log(PARTICLES), [np.log(draws[k].var().item()) for k in PARTICLES])
    # A log-variance of n draws is known to sqrt(2 / (n - 1)); that, and not the scatter of five points, is the error.
    spread = np.log(PARTICLES).std() * len(PARTICLES) ** 0.5
    error = float((2 / (REPLICATES - 1)) ** 0.5 / spread)
    mean = same_mean("6", f"mean of {PARTICLES[-1]} samples", "mean of one", draws[PARTICLES[-1]], draws[1])
    slope = Row(
        step="6",
        left="slope of log variance in log K",
        right="-1",
        left_value=float(fit.slope),
        right_value=-1.0,
        measure="z",
        apart=abs(float(fit.slope) + 1) / error,
        bound=float(stats.norm.isf(FALSE_ALARM / 2)),
        note=f"standard error {error:.2g}",
    )
    return [mean, slope]


def three_forms(case: Case) -> list[Row]:
    """7. E[log p(x, z)] + H(q) = E[log p(x|z)] - KL(q || p) = log p(x) - KL(q || p(z|x)).

    The last needs an evidence and a posterior that are known: there on the linear-Gaussian model, exactly.
    """
    pyro.set_rng_seed(SEED)
    with torch.no_grad():
        q, p = case.guide.posterior(case.x), case.model.prior()
        found = densities(case.model, case.guide, case.x, 300)
        joint = (found.likelihood + found.prior).mean(1) + q.entropy().mean()
        split = found.likelihood.mean(1) - analytic_kl(q, p.expand(q.batch_shape)).mean()
        # Paired: the likelihood's noise is the same in both and drops out.
        rows = [same_mean("7", "E[log p(x,z)] + H(q)", "less E[log p(x|z)] - KL", joint - split, 0.0)]
    return rows + known_model()


def known_model() -> list[Row]:
    """The three forms on a model where each is a formula, and Pyro's objective at its exact posterior."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        oracle = LinearGaussian.example()
        x = torch.randn(8, len(oracle.offset), dtype=torch.float64)
    q, posterior = oracle.guide_distribution(x), oracle.posterior(x)
    full = pyro.distributions.MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    joint = oracle.expected_log_likelihood(x) + oracle.expected_log_prior(x) + oracle.entropy()
    p = pyro.distributions.Normal(torch.zeros_like(q.mean), 1.0).to_event(1)
    split = oracle.expected_log_likelihood(x) - analytic_kl(q, p)
    gap = oracle.log_evidence(x) - analytic_kl(full, posterior)
    drawn = densities(oracle.model, oracle.guide, x, 4000).log_weight.mean(1)
    return [
        equal("7", "E[log p(x|z)] - KL, known model", "E[log p(x,z)] + H(q)", split, joint),
        equal("7", "log p(x) - KL(q || p(z|x))", "E[log p(x|z)] - KL", gap, split),
        same_mean("7", "Pyro's programs, 4000 draws", "the same formula", drawn, joint.mean().item()),
    ]
