"""M2 with few labels: it trains, its views are those that it says, and its error is counted."""

import numpy as np
import pyro
import pytest
import torch

import elbolab
from data import MNIST
from data.dataset import Splits
from experiments import semi_supervised
from experiments.semi_supervised import Guide, Model, error, viewed


def test_it_trains_and_says_how_well(monkeypatch, capsys):
    rng = np.random.default_rng(0)
    images, labels = rng.random((200, 28, 28), np.float32), np.arange(200) % 10
    monkeypatch.setattr(MNIST, "splits", lambda _: Splits(images, images[:50], labels, labels[:50]))
    monkeypatch.setattr(semi_supervised, "ALONE", 1)
    assert semi_supervised.main(["--steps", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["step 1", "step 3"]
    assert "16 views" in lines[-1]


def test_a_view_is_turned_scaled_and_shifted_a_little():
    torch.manual_seed(0)
    x = torch.zeros(1000, 28, 28)
    x[:, 12:16, 12:16] = 1.0
    seen = viewed(x.flatten(1)).view(-1, 28, 28)
    assert seen.min() >= 0
    assert seen.max() <= 1 + 1e-6
    size = seen.sum((1, 2)) / 16
    assert 0.75 < size.min() < 0.9 < 1.1 < size.max() < 1.35  # 1 / scale^2
    at = torch.arange(28.0)
    rows = (seen.sum(2) * at).sum(1) / seen.sum((1, 2))
    assert 2.0 < (rows - 13.5).abs().max() < 3.0  # up to 0.15 of half the width, over the scale
    assert (rows - 13.5).mean().abs() < 0.2


def test_the_error_is_the_share_of_wrong_classes():
    guide = Guide()
    with torch.no_grad():
        for parameter in guide.classifier.parameters():
            parameter.zero_()
        guide.classifier[-1].bias[3] = 1.0
    x, y = torch.rand(8, 784), torch.tensor([3, 3, 3, 3, 3, 3, 0, 1])
    assert error(guide, x, y, 1) == pytest.approx(0.25)
    assert error(guide, x, y, 4) == pytest.approx(0.25)
    assert guide.training


def test_the_classifier_learns_through_the_logits_that_the_guide_is_given():
    torch.manual_seed(0)
    model, guide, x = Model(), Guide().eval(), torch.rand(4, 784).round()

    class Inside(Guide):
        def forward(self, x, logits, y=None):
            super().forward(x, self.classifier(x), y)

    inside = Inside().eval()
    inside.load_state_dict(guide.state_dict())
    found = []
    for one in (guide, inside):
        pyro.set_rng_seed(1)
        elbo = elbolab.PerSite(sites={"y": "Enumeration"})
        loss = elbo.differentiable_loss(model, one, x, guide.classifier(x) if one is guide else None)
        found.append(torch.autograd.grad(loss, list(one.classifier.parameters())))
    for given, own in zip(*found, strict=True):
        assert own.abs().max() > 0
        torch.testing.assert_close(given, own)
