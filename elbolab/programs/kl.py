"""KL(q(z|x) || p(z)): which latents have it in closed form, which are sampled; closed forms that PyTorch lacks."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import pyro.distributions as dist
import torch
from pyro.distributions.util import scale_and_mask
from pyro.infer import ELBO, TraceMeanField_ELBO
from torch import Tensor
from torch.distributions import Distribution, kl_divergence, register_kl

from elbolab.programs.draw import Draw
from elbolab.programs.sites import layers

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


def closed_forms(draw: Draw) -> dict[str, Tensor]:
    """log p(z) - log q(z|x), as -KL(q || p), for those latents where it may be so; each of shape (particles, batch).

    E_q[log q(z|a) - log p(z|b)] is the expectation of KL(q(z|a) || p(z|b)) where nothing in b was drawn given z, where
    both programs mask the two terms alike, and where the form is registered.
    """
    reading, found = draw.reading, {}
    for site in reading.latents:
        below = reading.descendants(site.name) | {site.name}
        if site.name in reading.model and not reading.model[site.name].depends & below:
            terms = [_closed(draw, model.nodes[site.name], guide.nodes[site.name]) for model, guide in draw.runs]
            known = [term for term in terms if term is not None]
            if len(known) == len(terms):
                found[site.name] = torch.cat(known)
    return found


def _closed(draw: Draw, prior: Mapping[str, Any], posterior: Mapping[str, Any]) -> Tensor | None:
    """One latent's, in one run, None where there is none."""
    q, p, mask = posterior["fn"], prior["fn"], posterior["mask"]
    masks = [layer for one in (q, p) for layer in layers(one) if isinstance(layer, dist.MaskedDistribution)]
    if masks or mask is not prior["mask"]:
        return None
    divergence = analytic_kl(q, p)
    if divergence is None:
        return None
    weight = posterior["scale"] if draw.scaled else 1.0
    term = scale_and_mask(-divergence.expand(q.batch_shape), weight, mask)
    apart = weighed_apart(draw, prior, posterior)
    term = term if apart is None else term + apart
    return draw.reduce(term, draw.width, [f.dim for f in posterior["cond_indep_stack"]])


def weighed_apart(draw: Draw, prior: Mapping[str, Any], posterior: Mapping[str, Any]) -> Tensor | None:
    """(w_p - w_q) log p(z) of a latent in one run, None where the programs weigh it alike.

    Each term has its own weight: w_p log p - w_q log q = -w_q KL + this, in expectation.
    """
    weight, other = (posterior["scale"], prior["scale"]) if draw.scaled else (1.0, 1.0)
    if not (isinstance(weight, Tensor) or isinstance(other, Tensor)) and weight == other:
        return None
    return scale_and_mask(prior["fn"].log_prob(prior["value"]), other - weight, posterior["mask"])


@torch.no_grad()
def kl_routes(elbo: ELBO, model: Callable, guide: Callable, x: Tensor) -> dict[str, Route]:
    """Says for every latent site how `elbo` gets KL(q(z|x) || p(z)): in closed form, or from the drawn z.

    Only `TraceMeanField_ELBO` and estimators with `closed_form_kl` use closed forms, and sample where there is none.

    Raises:
        ValueError: the KL is infinite, as from a Normal to a Uniform: the objective would be -inf for good; or the
            latent has no pathwise gradient, without which that objective would ignore the likelihood.
    """
    draw = Draw(model, guide, (x,))
    ours = closed_forms(draw) if getattr(elbo, "closed_form_kl", False) else {}
    pyros = isinstance(elbo, TraceMeanField_ELBO)
    routes: dict[str, Route] = {}
    for name, q in draw.posteriors.items():
        prior: Mapping[str, Any] | None = draw.traces[0].nodes.get(name)
        divergence = analytic_kl(q, prior["fn"]) if prior else None
        routes[name] = "analytic" if name in ours or (pyros and divergence is not None) else "sampled"
        if (pyros or getattr(elbo, "closed_form_kl", False)) and not q.has_rsample:
            raise ValueError(
                f"{type(elbo).__name__} needs pathwise gradients, and the guide's {name} has none: Trace_ELBO takes"
                " the score function there (--elbo Trace_ELBO); a relaxed guide with its relaxed prior has a gradient"
            )
        if divergence is not None and divergence.isinf().any():
            prior_fn = prior["fn"] if prior else None
            raise ValueError(f"KL(q || p) of {name} is infinite: the guide's {q} reaches beyond the prior's {prior_fn}")
    return routes
