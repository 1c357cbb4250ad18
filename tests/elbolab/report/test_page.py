"""One file: what is bundled, packed and escaped."""

import re

import numpy as np
import pytest
import torch

from elbolab.report.constants import Constants, as_text
from elbolab.report.mathml import math
from elbolab.report.page import bundle, filled
from elbolab.report.program import NoJavaScript, program


def test_modules_are_bundled_in_order(tmp_path):
    (tmp_path / "a.js").write_text('import { b } from "./b.js";\nexport const a = b + 1; // more\n')
    (tmp_path / "b.js").write_text("// said once\nexport const b = 1;\n")
    text = bundle(tmp_path / "a.js")
    assert text.index("module_b =") < text.index("module_a =")
    assert "said once" not in text
    assert "import" not in text
    assert "export" not in text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('import x from "./b.js";', "of a form"),
        ('import { x } from "./nowhere.js";', "there is not"),
        ('import { a } from "./a.js";', "a circle"),
        ("export default 3;", "of a form"),
        ('const x = "</script>";', "end the script"),
    ],
)
def test_what_cannot_be_bundled_is_refused(tmp_path, source, message):
    (tmp_path / "a.js").write_text(source)
    with pytest.raises(ValueError, match=message):
        bundle(tmp_path / "a.js")


def test_text_is_escaped_and_html_is_not(tmp_path):
    (tmp_path / "t.html").write_text("<p>$text</p>$more_html")
    found = filled(tmp_path / "t.html", text="<script>&", more_html="<b>x</b>")
    assert found == "<p>&lt;script&gt;&amp;</p><b>x</b>"


def test_text_that_html_would_change_is_not_in_the_text_of_bytes():
    text = as_text(bytes(range(256)) * 8)
    assert not set("\0\r") & set(text)
    assert not re.search("<[/!]", as_text(np.random.default_rng(0).bytes(200_000)))
    assert len(text.encode()) < 1.18 * 256 * 8


def test_an_array_is_kept_once_and_as_coarsely_as_asked():
    constants = Constants()
    weights = torch.randn(40, 30)
    assert constants.add(weights) == constants.add(weights.clone()) == 0
    constants.add(torch.arange(10.0), fixed=True)
    exact, coarse = constants.coarse(None), constants.coarse(12)
    assert torch.equal(exact[0], weights)
    assert torch.equal(coarse[1], torch.arange(10.0))
    off = (coarse[0] - weights).abs().max()
    assert 0 < off <= weights.square().mean().sqrt() * 2.0**-12 / 2 * 1.001
    assert len(constants.packed(12)[0]) < len(constants.packed(None)[0])


def test_a_program_is_what_it_was_made_of():
    weight, constants = torch.randn(3, 2, dtype=torch.float64), Constants()
    made = program(lambda x: (x @ weight.exp()).softmax(-1), constants, x=torch.zeros(1, 3, dtype=torch.float64))
    x = torch.randn(1, 3, dtype=torch.float64)
    assert torch.allclose(made.run(constants.values, x)[0], (x @ weight.exp()).softmax(-1), atol=1e-14)
    assert any(torch.equal(value, weight.exp()) for value in constants.values), "what is constant is computed once"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: torch.linalg.svd(x.diag_embed())[1], "aten::_linalg_svd"),
        (lambda x: x.bfloat16().double(), "bfloat16"),
        (lambda x: x[x > 0], "mask|data-dependent"),
        (lambda x: x * x.sum().item(), "item"),
    ],
)
def test_what_has_no_javascript_is_named(function, message):
    with pytest.raises(NoJavaScript, match=message):
        program(function, Constants(), x=torch.ones(1, 3, dtype=torch.float64))


def test_a_mask_that_is_written_to_is_a_choice():
    def function(x):
        x = x.clone()
        x[x < 0] = 7.0
        return x

    constants = Constants()
    made = program(function, constants, x=torch.zeros(2, dtype=torch.float64))
    assert made.run(constants.values, torch.tensor([-1.0, 2.0]))[0].tolist() == [7, 2]


def test_algebra_is_typeset():
    found = math("loss - (BCE + KL) = (1/3136 - 1) BCE + [e^(2·s₁)/2 - s₁²] per latent")
    for part in ("<mfrac><mn>1</mn><mn>3136</mn></mfrac>", "<msub><mi>s</mi><mn>1</mn></msub>", "<mo>−</mo>"):
        assert part in found
    assert "<msup><mi>e</mi>" in found
    assert math("a ) b < c") == '<math display="block"><mtext>a ) b &lt; c</mtext></math>'
