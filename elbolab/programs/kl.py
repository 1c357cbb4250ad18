"""KL(q(z|x) || p(z)): which latents have it in closed form, which are sampled; closed forms that PyTorch lacks."""

from collections.abc import Callable
from typing import Literal

import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import ELBO, TraceMeanField_ELBO
from torch import Tensor
from torch.distributions import Distribution, kl_divergence, register_kl

Route = Literal["analytic", "sampled"]


def _against_diagonal(q: Distribution, p: dist.Independent, variance: Tensor, log_determinant: Tensor) -> Tensor:
    """KL(N(m, S) || N(a, diag(b))) = 1/2 sum_j [S_jj / b_j + (m_j - a_j)^2 / b_j - 1 + log b_j] - 1/2 log det S."""
    normal = p.base_dist
    if not isinstance(normal, dist.Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError(f"no closed form for {q} and {p}")  # as an unregistered pair says
    b = normal.variance
    terms = (variance + (q.mean - normal.mean).square()) / b - 1 + b.log()
    return 0.5 * (terms.sum(-1) - log_determinant)


@register_kl(dist.MultivariateNormal, dist.Independent)
def _full_against_diagonal(q: dist.MultivariateNormal, p: dist.Independent) -> Tensor:
    log_determinant = 2 * q.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return _against_diagonal(q, p, q.variance, log_determinant)


@register_kl(dist.LowRankMultivariateNormal, dist.Independent)
def _low_rank_against_diagonal(q: dist.LowRankMultivariateNormal, p: dist.Independent) -> Tensor:
    # det(W W^T + D) = det(I + W^T D^-1 W) det D, and the first factor's Cholesky root is at hand.
    capacitance = 2 * q._capacitance_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return _against_diagonal(q, p, q.variance, capacitance + q.cov_diag.log().sum(-1))


def analytic_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q || p) in nats where a closed form is registered, None where there is none."""
    try:
        return torch.as_tensor(kl_divergence(q, p))
    except NotImplementedError:
        return None


@torch.no_grad()
def kl_routes(elbo: ELBO, model: Callable, guide: Callable, x: Tensor) -> dict[str, Route]:
    """Says for every latent site how `elbo` gets KL(q(z|x) || p(z)): in closed form, or from the drawn z.

    Only `TraceMeanField_ELBO` and estimators with `closed_form_kl` use closed forms, and sample where there is none.

    Raises:
        ValueError: the KL is infinite, as from a Normal to a Uniform: the objective would be -inf for good; or the
            latent has no pathwise gradient, without which that objective would ignore the likelihood.
    """
    guide_trace = poutine.util.prune_subsample_sites(poutine.trace(guide).get_trace(x))
    model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(x)
    routes: dict[str, Route] = {}
    mean_field = getattr(elbo, "closed_form_kl", isinstance(elbo, TraceMeanField_ELBO))
    for name in guide_trace.stochastic_nodes:
        q, p = guide_trace.nodes[name]["fn"], model_trace.nodes[name]["fn"]
        mean_field, divergence = (
            getattr(elbo, "closed_form_kl", isinstance(elbo, TraceMeanField_ELBO)),
            analytic_kl(q, p),
        )
        routes[name] = "analytic" if mean_field and divergence is not None else "sampled"
        if mean_field and not q.has_rsample:
            raise ValueError(
                f"{type(elbo).__name__} needs pathwise gradients, and the guide's {name} has none: Trace_ELBO takes"
                " the score function there (--elbo Trace_ELBO); a relaxed guide with its relaxed prior has a gradient"
            )
        if divergence is not None and divergence.isinf().any():
            raise ValueError(f"KL(q || p) of {name} is infinite: the guide's {q} reaches beyond the prior's {p}")
    return routes
