import torch
from pyro import poutine

from guide import Guide
from guide.posteriors import DiagonalNormal


def test_the_guide_draws_the_posterior_and_beta_scales_it(network):
    posterior = DiagonalNormal((2, 4), 3, network)
    program = Guide(posterior, beta=2.0).double()
    x = torch.rand(5, 2, 4, dtype=torch.float64)
    trace = poutine.trace(program).get_trace(x)
    trace.compute_log_prob()
    site = trace.nodes["z"]
    assert site["value"].shape == (5, 3)
    torch.testing.assert_close(site["log_prob"], 2 * posterior(x).log_prob(site["value"]))
