import pytest
import torch

from elbolab.networks import MLP, Convolutional, Residual

NETWORKS = [MLP(16), MLP([12, 8], activation="tanh"), MLP(16, activation="leaky"), Convolutional(8, channels=4)]
NETWORKS += [
    MLP([12, 8], normalize=True),
    Residual(8, channels=4, blocks=2),
    Residual(8, channels=8, activation="tanh"),
]


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
    with pytest.raises(ValueError, match="feature map"):
        Convolutional(channels=0)
    with pytest.raises(ValueError, match="multiple of 4"):
        Residual(channels=6)


def test_a_block_begins_at_what_it_is_given():
    """With its last convolution at 0 a residual network is one without blocks."""
    network = Residual(8, channels=4, activation="softplus")
    encoder, plain = network.encoder((8, 8), 3), Convolutional(8, channels=4).encoder((8, 8), 3)
    blocks = [m for m in encoder.modules() if type(m).__name__ == "_Block"]
    assert len(blocks) == 2
    for block in blocks:
        torch.nn.init.zeros_(block.change[-1].weight)
        torch.nn.init.zeros_(block.change[-1].bias)
    kept = [(k, v) for k, v in encoder.state_dict().items() if "change" not in k]
    plain.load_state_dict({name: value for name, (_, value) in zip(plain.state_dict(), kept, strict=True)})
    x = torch.randn(5, 8, 8)
    assert torch.equal(encoder(x), plain(x))


def test_normalised_layers_do_not_see_how_large_their_input_is():
    encoder = MLP([12, 8], normalize=True).encoder((5,), 3).double()
    for name, parameter in encoder.named_parameters():
        if name.endswith("0.bias"):
            torch.nn.init.zeros_(parameter)
    x = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(encoder(1000 * x), encoder(2000 * x), rtol=1e-6, atol=1e-6)


def test_leaky_units_keep_the_published_share_of_what_is_negative():
    leaky = MLP([1], activation="leaky").encoder((1,), 1)[-1][1]
    torch.testing.assert_close(leaky(torch.tensor([-2.0, 2.0])), torch.tensor([-0.6, 2.0]))
