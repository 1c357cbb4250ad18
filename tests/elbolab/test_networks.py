import pytest
import torch

from model import MLP, Convolutional

NETWORKS = [MLP(16), MLP([12, 8], activation="tanh"), MLP(16, activation="relu"), Convolutional(8, channels=4)]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 4)])
def test_leading_axes_are_batches(network, shape):
    encoder, decoder = network.encoder(shape, 7).double(), network.decoder(2, (2, *shape)).double()
    x, z = torch.randn(4, 5, *shape, dtype=torch.float64), torch.randn(4, 5, 2, dtype=torch.float64)
    assert encoder(x).shape == (4, 5, 7)
    assert decoder(z).shape == (4, 5, 2, *shape)
    torch.testing.assert_close(encoder(x)[1, 2], encoder(x[1, 2]), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(decoder(z)[1, 2], decoder(z[1, 2]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_parameter_is_used(network):
    encoder, decoder = network.encoder((8, 8), 3), network.decoder(3, (1, 8, 8))
    decoder(encoder(torch.randn(4, 8, 8))).square().sum().backward()
    parameters = [*encoder.parameters(), *decoder.parameters()]
    assert all(p.grad.abs().sum() > 0 for p in parameters if p.dim() > 1)


def test_widths_run_from_the_data_to_the_latent():
    linear = [m for m in MLP([12, 7]).encoder((5,), 3).modules() if isinstance(m, torch.nn.Linear)]
    mirrored = [m for m in MLP([12, 7]).decoder(3, (1, 5)).modules() if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(5, 12), (12, 7), (7, 3)]
    assert [(m.in_features, m.out_features) for m in mirrored] == [(3, 7), (7, 12), (12, 5)]


def test_what_cannot_be_built_says_why():
    with pytest.raises(ValueError, match="multiples of 4"):
        Convolutional().encoder((10, 10), 2)
    with pytest.raises(ValueError, match="multiples of 4"):
        Convolutional().encoder((12,), 2)
    with pytest.raises(ValueError, match="positive"):
        MLP([4, 0])
