import pyro.distributions as dist
import torch
from pyro import poutine

from guide import Guide
from guide.posteriors import DiagonalNormal, Mixture


def test_the_guide_draws_the_posterior_and_beta_scales_it(network):
    posterior = DiagonalNormal((2, 4), 3, network)
    program = Guide(posterior, beta=2.0).double()
    x = torch.rand(5, 2, 4, dtype=torch.float64)
    trace = poutine.trace(program).get_trace(x)
    trace.compute_log_prob()
    site = trace.nodes["z"]
    assert site["value"].shape == (5, 3)
    torch.testing.assert_close(site["log_prob"], 2 * posterior(x).log_prob(site["value"]))


def test_a_mixture_of_one_component_is_a_normal(network):
    posterior = Mixture((2, 4), 3, network, components=1).double()
    q = posterior(torch.rand(5, 2, 4, dtype=torch.float64))
    z = q.sample()
    expected = dist.Normal(q.locs[..., 0, :], q.coord_scale[..., 0, :]).to_event(1)
    torch.testing.assert_close(q.log_prob(z), expected.log_prob(z))
