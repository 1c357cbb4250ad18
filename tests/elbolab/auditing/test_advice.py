"""The advice on the most frequent slips, followed to the letter, makes the loss an ELBO."""

import ast

import pytest
import torch
import torch.nn.functional as F

from elbolab import audit
from elbolab.auditing.report.advice import advice
from elbolab.auditing.report.fix import fixed
from tests.elbolab.auditing.zoo import ZOO

SLIPS = (
    "keras_blog",
    "keras_io_2020",
    "chollet_second_edition",
    "mean_over_the_batch_of_one_term",
    "mean_over_pixels_of_one_term",
    "mean_over_latents_of_one_term",
    "mean_squared_error_beside_a_summed_kl",
    "kl_subtracted",
    "log_likelihood_added",
    "vgae_not_squared",
    "squared_twice",
    "entropy_forgotten",
    "sign_of_the_variance",
    "half_of_one_term",
    "mean_not_squared",
    "reversed_kl",
    "std_not_squared",
    "log_variance_formula_on_a_std",
    "double_sigmoid",
    "swapped",
    "no_sigmoid",
    "half_of_the_cross_entropy",
    "positive_weight",
)


def followed(verdict):
    """A loss of the lines of code in the advice, and its arguments; a term that it leaves alone is the usual one."""
    lines = [*fixed(verdict).splitlines(), *advice(verdict)]
    code = {line[:3]: line for line in lines if line.startswith(("rec = ", "kl = "))}
    names = [node.id for line in code.values() for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Name)]
    output = next(name for name in names if name in ("recon", "logits"))
    head = next(name for name in names if name not in ("rec", "kl", "recon", "logits", "x", "mu", "F", "torch", "len"))
    scope = {"F": F, "torch": torch}
    exec(
        f"def loss({output}, x, mu, {head}):\n    " + "\n    ".join([*code.values(), "return (rec + kl).mean()"]), scope
    )
    return scope["loss"], output


@pytest.mark.parametrize("name", SLIPS)
def test_advice_followed_is_an_elbo(name):
    case = ZOO[name]
    verdict = audit(case.loss, case.roles, None, case.output, **case.kwargs)
    assert not verdict.is_elbo
    loss, output = followed(verdict)
    stated = {"recon": "mean" if verdict.likelihood == "gaussian" else "probs", "logits": "logits"}[output]
    head = case.roles[3] if case.roles else "logvar"
    assert audit(loss, (stated, "x", "mu", head)).is_elbo, str(verdict)
