"""Which latents have a KL in closed form, and which are sampled."""

from collections.abc import Callable
from typing import Literal

import torch
from pyro import poutine
from pyro.infer import ELBO, TraceMeanField_ELBO
from torch import Tensor
from torch.distributions import kl_divergence

Route = Literal["analytic", "sampled"]


@torch.no_grad()
def kl_routes(elbo: ELBO, model: Callable, guide: Callable, x: Tensor) -> dict[str, Route]:
    """Says for every latent site how `elbo` gets KL(q(z|x) || p(z)): in closed form, or from the drawn z.

    Only `TraceMeanField_ELBO` uses closed forms; where none is registered it samples without a word.

    Raises:
        ValueError: the closed form is infinite, as from a Normal to a Uniform: the objective would be -inf for good.
    """
    guide_trace = poutine.util.prune_subsample_sites(poutine.trace(guide).get_trace(x))
    model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(x)
    routes: dict[str, Route] = {}
    for name in guide_trace.stochastic_nodes:
        q, p = guide_trace.nodes[name]["fn"], model_trace.nodes[name]["fn"]
        routes[name] = "sampled"
        if isinstance(elbo, TraceMeanField_ELBO):
            try:
                divergence = torch.as_tensor(kl_divergence(q, p))
            except NotImplementedError:
                continue
            if divergence.isinf().any():
                raise ValueError(f"KL(q || p) of {name} is infinite: the guide's {q} reaches beyond the prior's {p}")
            routes[name] = "analytic"
    return routes
