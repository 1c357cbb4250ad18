import json

import pytest
import torch

from compare.__main__ import main
from elbolab import Verdict, audit
from elbolab.auditing.kinds import Kind
from tests.elbolab.auditing.zoo import ZOO


@pytest.mark.parametrize("name", ZOO)
def test_zoo(name):
    case = ZOO[name]
    verdict = audit(case.loss, case.roles, case.reparameterize, case.output, **case.kwargs)
    assert verdict.kind == case.kind, str(verdict)
    for quantity, expected in case.expected.items():
        found = getattr(verdict, quantity)
        exactly = expected is None or isinstance(expected, str)
        assert found == (expected if exactly else pytest.approx(expected, rel=1e-6)), str(verdict)
    assert case.says in " ".join(verdict.notes), str(verdict)


def test_zoo_is_large_and_covers_every_kind():
    assert len(ZOO) >= 60
    assert {case.kind for case in ZOO.values()} == set(Kind)


WRITTEN = """
import torch
import torch.nn.functional as F


def right(recon_x, x, mu, logvar):
    kl = -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp())
    return F.binary_cross_entropy(recon_x, x, reduction="sum") + kl


def both(recon_x, x, mu, logvar):
    return {"total": right(recon_x, x, mu, logvar), "kl": mu.sum() * 0}


def weighted(recon_x, x, mu, logvar, beta):
    nll, kl = F.binary_cross_entropy(recon_x, x, reduction="sum"), right(recon_x, x, mu, logvar)
    return nll + beta * (kl - nll)


def unclear(recon_x, mu, logvar):
    return right(recon_x, recon_x, mu, logvar)


def sample(mu, logvar):
    return mu + logvar.exp() * torch.randn_like(mu)


def number(recon_x, x, mu, logvar):
    return right(recon_x, x, mu, logvar).item()


def broken(recon_x, x, mu, logvar):
    return right(recon_x, x, mu, logvar) + missing


class Model:
    @staticmethod
    def loss(recon_x, x, mu, logvar):
        return right(recon_x, x, mu, logvar)


threshold = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_vae.py"
    path.write_text(WRITTEN)
    return path


@pytest.mark.parametrize(
    ("function", "options", "code", "printed"),
    [
        ("right", [], 0, "elbo: exactly the negative ELBO"),
        ("Model.loss", [], 0, "second head logvar"),
        ("both", ["--output", "total"], 0, "elbo"),
        ("right", ["--roles", "probs", "x", "mu", "logvar"], 0, "elbo"),
        ("right", ["--roles", "probs", "x", "mu", "std"], 1, "wrong_kl"),
        ("weighted", ["--roles", "probs", "x", "mu", "logvar", "4"], 1, "beta = 4"),
        ("right", ["--reparameterize", "sample"], 1, "wrong_sampler"),
        ("weighted", [], 0, "`beta` is taken as 1"),
        ("weighted", ["beta=4"], 1, "beta = 4"),
    ],
)
def test_command(function, options, code, printed, file, capsys, tmp_path):
    assert main(["audit", f"{file}:{function}", *options, "--json", str(tmp_path / "verdict.json")]) == code
    assert printed in capsys.readouterr().out
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert verdict["is_elbo"] == (code == 0)
    assert {"kind", "likelihood", "beta", "sigma2", "scale", "offset", "head", "reductions", "notes"} <= set(verdict)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("right", [], "FILE.py:FUNCTION"),
        ("nowhere.py:right", [], "cannot import nowhere.py: there is no such file"),
        ("{file}:wrong", [], "has no function wrong; there are: right, both, weighted, unclear"),
        ("{file}:threshold", [], "has no function threshold"),
        ("{file}:broken", [], "raises for every probe: NameError: name 'missing' is not defined"),
        ("{file}:number", [], "returns no tensor but float"),
        ("{file}:both", ["--output", "nll"], "output = 'nll', but the loss returns 'total', 'kl'"),
        ("{file}:unclear", [], "cannot tell what each argument is from recon_x, mu, logvar"),
        ("{file}:right", ["--roles", "probs", "mu", "logvar"], "exactly one is x"),
        ("{file}:right", ["--roles", "probs", "x", "mu", "mu"], "is there once"),
        ("{file}:right", ["--reparameterize", "nothing"], "has no function nothing"),
        ("{file}:right", ["--reparameterize", "number"], "reparameterize(mu, s) raises"),
    ],
)
def test_mistakes_get_one_message(target, options, message, file, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["audit", target.format(file=file), *options])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1


BROKEN = ["from os import nothing_of_that_name", "class A:\n    raise SystemExit(3)", "def f(:", "class A:\n    1 / 0"]


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_cannot_be_imported(text, tmp_path, capsys):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(SystemExit) as stopped:
        main(["audit", f"{tmp_path / 'bad.py'}:f"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: cannot import {tmp_path / 'bad.py'}: ")


def elbo(logits, x, mu, logvar):
    nll = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return nll - 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum()


def test_the_caller_is_not_disturbed():
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.no_grad():
        assert audit(elbo).kind == "elbo"
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_a_module_is_a_loss():
    class Criterion(torch.nn.Module):
        def forward(self, logits, x, mu, logvar):
            return elbo(logits, x, mu, logvar)

    assert audit(Criterion()).kind == "elbo"


def test_output_may_be_a_function():
    def pair(logits, x, mu, logvar):
        return elbo(logits, x, mu, logvar), 2 * elbo(logits, x, mu, logvar)

    assert audit(pair).scale == 1
    assert audit(pair, output=1).scale == pytest.approx(2)
    assert audit(pair, output=lambda parts: parts[0] + parts[1]).scale == pytest.approx(3)


def test_float32_inside():
    def cast(logits, x, mu, logvar):
        return elbo(logits.float(), x.float(), mu.float(), logvar.float())

    def weights(logits, x, mu, logvar):
        return elbo(logits, x, mu @ torch.eye(3), logvar)

    for loss in (cast, weights):
        verdict = audit(loss)
        assert (verdict.kind, verdict.head) == ("elbo", "logvar")
        assert verdict.beta == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize(("latent", "batch"), [(20, None), (2, None), (128, None), (3, 64), (10, 128)])
def test_sizes_that_are_wired_in(latent, batch):
    def wired(logits, x, mu, logvar):
        if batch:
            logits, x = logits.view(batch, -1), x.view(batch, -1)
        return elbo(logits, x, mu.view(-1, latent), logvar.view(-1, latent))

    assert audit(wired, roles=("logits", "x", "mu", "logvar")).kind == "elbo"


@pytest.mark.parametrize(("data", "latent"), [(500, 3), (90, 14), (784, 50)])
def test_sizes_that_an_error_names(data, latent):
    def wired(logits, x, mu, logvar):
        logits, x, mu, logvar = logits.view(-1, data), x.view(-1, data), mu.view(-1, latent), logvar.view(-1, latent)
        return elbo(logits, x, mu, logvar) / len(x)

    verdict = audit(wired, roles=("logits", "x", "mu", "logvar"))
    assert verdict.kind == "scaled"
    assert verdict.reductions["scale"] == "1 / batch"


def test_a_loss_that_always_raises_is_given_up():
    def broken(a, b, c, d):
        raise RuntimeError("no shape will do")

    verdict = audit(broken)
    assert (verdict.kind, verdict.notes) == ("raises", ("RuntimeError: no shape will do",))


@pytest.mark.parametrize("sizes", [{"batch": 100, "data": 784, "latent": 2}])
def test_formulas_are_said(sizes):
    verdict = audit(ZOO["keras_blog"].loss)
    assert verdict.reductions["beta"] == "data / latent"
    assert verdict.reductions["reconstruction"] == "mean over data, sum over batch"
    assert verdict.reductions["kl"] == "mean over latent, sum over batch"
    assert all(f"{axis} {size}" in str(verdict) for axis, size in sizes.items())


def test_verdict_is_short_and_frozen():
    for case in ZOO.values():
        if Kind(case.kind).right and not case.reparameterize:
            text = str(audit(case.loss, case.roles, None, case.output, **case.kwargs))
            assert 4 <= len(text.splitlines()) <= 9
            break
    with pytest.raises(AttributeError):
        Verdict(kind="elbo").kind = "scaled"
