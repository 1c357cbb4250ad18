import json

import pytest
import torch
import torch.nn.functional as F

from compare import handwritten
from compare.__main__ import main
from compare.losses import relative

MUTANTS = {
    "kl without its half": ("kl", lambda m, s: -(1 + s - m**2 - s.exp()).sum(-1)),
    "kl with the wrong sign": ("kl", lambda m, s: 0.5 * (1 + s - m**2 - s.exp()).sum(-1)),
    "log-variance read as log-std": ("kl", lambda m, s: -0.5 * (1 + 2 * s - m**2 - (2 * s).exp()).sum(-1)),
    "kl averaged over latents": ("kl", lambda m, s: -0.5 * (1 + s - m**2 - s.exp()).mean(-1)),
    "kl off by a billionth": ("kl", lambda m, s: -0.5 * (1 + 1e-9 - s * -1 - m**2 - s.exp()).sum(-1)),
    "detached encoder": ("kl", lambda m, s: -0.5 * (1 + s - m.detach() ** 2 - s.exp()).sum(-1)),
    "cross-entropy averaged over pixels": (
        "cross_entropy",
        lambda logits, x: F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).mean(1),
    ),
    "cross-entropy the other way round": (
        "cross_entropy",
        lambda logits, x: F.binary_cross_entropy_with_logits(-logits, x, reduction="none").flatten(1).sum(1),
    ),
    "noise scaled by the variance": ("reparameterize", lambda m, s, e: m + s.exp() * e),
    "sampled kl without the prior": (
        "sampled_kl",
        lambda z, m, s: -0.5 * (s + (z - m) ** 2 / s.exp()).sum(-1),
    ),
}


@pytest.mark.parametrize("options", [[], ["--beta", "4"], ["--network", "Convolutional", "--latent", "3"]])
def test_bce_plus_kl_is_the_elbo(options, capsys, tmp_path):
    assert main(["losses", "--hidden", "32", *options, "--json", str(tmp_path / "rows.json")]) == 0
    assert capsys.readouterr().out.count("  equal") == 2
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["by_pyro"] for row in rows] == ["TraceMeanField_ELBO", "Trace_ELBO"]
    for row in rows:
        assert row["holds"]
        assert max(row["value_apart"], row["gradient_apart"]) < 1e-13


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_loss_is_seen(name, monkeypatch, capsys):
    function, mutant = MUTANTS[name]
    monkeypatch.setattr(handwritten, function, mutant)
    assert main(["losses", "--hidden", "32"]) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_a_nan_is_a_difference(monkeypatch):
    monkeypatch.setattr(handwritten, "kl", lambda m, s: (m * torch.nan).sum(-1))
    assert main(["losses", "--hidden", "32"]) == 1


def test_relative_difference():
    one, zero = torch.tensor([2.0, 1.0]), torch.zeros(2)
    assert relative(one, one) == 0
    assert relative(zero, zero) == 0
    assert relative(one, zero) == 1
    assert relative(torch.tensor([100.0]), torch.tensor([99.0])) == pytest.approx(0.01)


def test_a_run_is_compared_at_its_own_parameters(small, tmp_path, capsys):
    import train

    assert train.main([*small, "--epochs", "2", "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert main(["losses", str(tmp_path / "run")]) == 0
    trained = capsys.readouterr().out
    assert main(["losses", *[o for o in small if o not in ("--batch_size", "20")]]) == 0
    assert capsys.readouterr().out != trained


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["losses", "nowhere"], 2, "holds no run"),
        (["losses", "--batch", "0"], 2, "batch"),
        (["losses", "--prior", "Gauss"], 2, "there is no Gauss; There are: "),
        (["loses"], 2, "losses"),
        ([], 2, "losses"),
    ],
)
def test_mistakes_get_one_message(arguments, code, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == code
    assert message in capsys.readouterr().err
