import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO

from elbolab import densities, evidence, kl_routes
from guide import Guide
from guide.posteriors import DiagonalNormal
from model import Model
from model.likelihoods import Bernoulli
from model.priors import StandardNormal

WEIGHT, NOISE = torch.tensor([1.5, -0.5, 2.0], dtype=torch.float64), 0.7


def conjugate_model(x):
    """z ~ N(0, 1), x ~ N(w z, NOISE^2 I): evidence and posterior are known."""
    with pyro.plate("batch", len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(1).double(), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z * WEIGHT, NOISE).to_event(1), obs=x)


def conjugate_guide(widen):
    precision = 1 + WEIGHT.square().sum() / NOISE**2

    def guide(x):
        location = x @ WEIGHT / NOISE**2 / precision
        with pyro.plate("batch", len(x)):
            pyro.sample("z", dist.Normal(location[:, None], widen * precision**-0.5).to_event(1))

    return guide


def log_evidence(x):
    covariance = torch.outer(WEIGHT, WEIGHT) + NOISE**2 * torch.eye(3).double()
    return dist.MultivariateNormal(torch.zeros(3).double(), covariance).log_prob(x)


@pytest.fixture
def x():
    return torch.randn(7, 3, dtype=torch.float64)


@pytest.mark.parametrize("particles", [1, 4])
def test_every_weight_is_the_evidence_at_the_exact_posterior(x, particles):
    found = densities(conjugate_model, conjugate_guide(1.0), x, particles)
    assert found.log_weight.shape == (particles, 7)
    torch.testing.assert_close(found.log_weight, log_evidence(x).expand(particles, 7), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("memory", [1, 2**12, 2**28])
def test_evidence_is_exact_at_the_exact_posterior_however_it_is_cut(x, memory):
    found = evidence(conjugate_model, conjugate_guide(1.0), x, samples=23, memory=memory)
    torch.testing.assert_close(found.log_evidence, log_evidence(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.elbo, log_evidence(x), rtol=1e-12, atol=1e-12)
    assert found.variance.max() < 1e-12


@pytest.mark.parametrize("memory", [2**14, 2**28])
def test_evidence_and_its_error_with_a_wide_guide(x, memory):
    found = evidence(conjugate_model, conjugate_guide(1.5), x, samples=4000, memory=memory)
    z = (found.log_evidence - log_evidence(x)) / found.variance.sqrt()
    assert z.abs().max() < 4
    assert (found.variance > 0).all()
    biased = (found.log_evidence + 0.1 - log_evidence(x)) / found.variance.sqrt()
    assert biased.abs().max() > 4, "the test has to see an error of a tenth of a nat"
    gap = torch.log(torch.tensor(1.5)) - 0.5 + 0.5 * 1.5**2 - 2 * torch.log(torch.tensor(1.5))
    assert (log_evidence(x) - found.elbo - gap).abs().max() < 0.1


def test_standard_error_is_the_spread_of_repeated_estimates(x):
    guide, datum = conjugate_guide(1.5), x[:1].expand(400, 3)
    found = evidence(conjugate_model, guide, datum, samples=50)
    ratio = found.log_evidence.std() / found.variance.mean().sqrt()
    assert 0.85 < ratio < 1.15  # 400 repeats know a standard deviation to 3.5 %


def test_densities_add_up_to_pyros_own_loss(network, x):
    model = Model(StandardNormal(2), Bernoulli(2, (3,), network)).double()
    guide = Guide(DiagonalNormal((3,), 2, network)).double()
    bits = (x > 0).double()
    pyro.set_rng_seed(3)
    found = densities(model, guide, bits)
    pyro.set_rng_seed(3)
    torch.testing.assert_close(-found.log_weight.sum(), Trace_ELBO()(model, guide)(bits), rtol=1e-12, atol=1e-12)


def site(p, q):
    def model(x):
        with pyro.plate("batch", len(x)):
            pyro.sample("z", p.expand((2,)).to_event(1))

    def guide(x):
        with pyro.plate("batch", len(x)):
            pyro.sample("z", q.expand((2,)).to_event(1))

    return model, guide, torch.zeros(5, 3)


def test_kl_routes():
    normal, student = dist.Normal(0.0, 1.0), dist.StudentT(3.0)
    assert kl_routes(TraceMeanField_ELBO(), *site(normal, normal)) == {"z": "analytic"}
    assert kl_routes(TraceMeanField_ELBO(), *site(student, normal)) == {"z": "sampled"}
    assert kl_routes(Trace_ELBO(), *site(normal, normal)) == {"z": "sampled"}


def test_an_infinite_kl_is_refused():
    pyro.enable_validation(False)
    with pytest.raises(ValueError, match="KL.* of z is infinite"):
        kl_routes(TraceMeanField_ELBO(), *site(dist.Uniform(-1.0, 1.0), dist.Normal(0.0, 1.0)))
