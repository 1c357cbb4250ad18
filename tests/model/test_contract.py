"""What every prior, likelihood and posterior keeps. Read from `__all__`: a new class is tested by being written."""

import io

import pytest
import torch

from guide.posteriors import DiagonalNormal
from model import MLP
from tests.model.parts import LATENT, LIKELIHOODS, POSTERIORS, PRIORS, SHAPE, distribution, double, made, name


@pytest.mark.parametrize("cls", PRIORS, ids=name)
def test_prior_is_one_event(cls):
    p = distribution(made(cls))
    assert p.batch_shape == ()
    assert p.event_shape == (LATENT,)
    assert p.log_prob(p.sample((5, 6))).shape == (5, 6)


@pytest.mark.parametrize("leading", [(), (5,), (6, 5)])
@pytest.mark.parametrize("cls", LIKELIHOODS, ids=name)
def test_likelihood_is_one_event_for_any_leading_axes(cls, leading):
    part = made(cls)
    z = torch.randn(*leading, LATENT)
    p = part(z)
    assert p.batch_shape == leading
    assert p.event_shape == SHAPE
    x = p.sample()
    assert p.log_prob(x).shape == leading
    if leading:
        torch.testing.assert_close(p.log_prob(x)[0], part(z[0]).log_prob(x[0]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cls", POSTERIORS, ids=name)
def test_posterior_is_one_event_per_datum(cls):
    part = made(cls)
    q = distribution(part)
    assert q.batch_shape == (5,)
    assert q.event_shape == (LATENT,)
    wide = q.expand((3, 5))
    z = wide.rsample() if wide.has_rsample else wide.sample()
    assert z.shape == (3, 5, LATENT)
    assert wide.log_prob(z).shape == (3, 5)


@pytest.mark.parametrize("cls", POSTERIORS, ids=name)
def test_data_are_independent(cls):
    part = double(made(cls))
    x = torch.rand(5, *SHAPE, dtype=torch.float64)
    changed = x.clone()
    changed[0] = 1 - changed[0]
    scores = []
    for value in (x, changed):
        torch.manual_seed(0)
        q = part(value)
        scores.append(q.log_prob(q.rsample() if q.has_rsample else q.sample()))
    assert scores[0][0] != scores[1][0]
    torch.testing.assert_close(scores[0][1:], scores[1][1:], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("cls", [*PRIORS, *LIKELIHOODS, *POSTERIORS], ids=name)
def test_samples_lie_in_the_declared_support(cls):
    part = made(cls)
    inside = part.support.check(distribution(part).sample((200,)))
    assert inside.all()


@pytest.mark.parametrize("cls", [*PRIORS, *LIKELIHOODS, *POSTERIORS], ids=name)
def test_moves_to_another_precision_and_is_restored(cls):
    part = double(made(cls))
    torch.manual_seed(1)
    before = distribution(part, dtype=torch.float64)
    value = before.sample()
    assert value.dtype == torch.float64
    score = before.log_prob(value)
    file = io.BytesIO()
    torch.save(part.state_dict(), file)
    file.seek(0)
    with torch.no_grad():
        for p in part.parameters():
            p.mul_(2).add_(1)
    part.load_state_dict(torch.load(file, weights_only=True))
    torch.manual_seed(1)
    again = distribution(part, dtype=torch.float64)
    torch.testing.assert_close(again.sample(), value)
    torch.manual_seed(1)
    again = distribution(part, dtype=torch.float64)
    assert torch.equal(again.log_prob(again.sample()), score)


@pytest.mark.cuda
@pytest.mark.parametrize("cls", [*PRIORS, *LIKELIHOODS, *POSTERIORS], ids=name)
def test_moves_to_another_device(cls):
    part = made(cls).cuda()
    if cls in PRIORS:
        part.prepare(DiagonalNormal(SHAPE, LATENT, MLP(8)).cuda(), torch.rand(50, *SHAPE).cuda())
        p = part()
    else:
        p = part(torch.rand(5, *(SHAPE if cls in POSTERIORS else (LATENT,))).cuda())
    assert p.log_prob(p.sample()).device.type == "cuda"
