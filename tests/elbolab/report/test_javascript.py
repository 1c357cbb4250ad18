"""The page's modules, in a real browser, against PyTorch and SciPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import special, stats

from elbolab.report.constants import Constants, as_text
from elbolab.report.page import page
from tests import browser

pytestmark = pytest.mark.browser
BENCH = Path(__file__).parent / "bench.js"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    browser.chromium()
    path = tmp_path_factory.mktemp("bench") / "bench.html"
    constants = Constants()
    for array in ARRAYS:
        constants.add(array, fixed=True)
    text, index = constants.packed()
    path.write_text(page("bench", "", BENCH, {"constants": index}, text), encoding="utf-8")
    with browser.started() as started:
        yield browser.Page(started, path)


ARRAYS = [
    torch.tensor([0.0, 1.0, 0.1, -2.5e-30, 3.4e38, -7.0]),
    torch.arange(-200, 200).reshape(20, 20),
    torch.tensor([1 / 3, 2.0**-1000], dtype=torch.float64),
    torch.tensor(-70000.0),
]
A, B = torch.randn(3, 4, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
IMAGE, KERNEL = torch.randn(2, 3, 8, 6, dtype=torch.float64), torch.randn(5, 3, 4, 3, dtype=torch.float64)
OPERATIONS = [
    ("add", [A, B], [], A + B),
    ("div", [A, B[:1]], [], A / B[:1]),
    ("permute", [IMAGE], [[2, 0, 3, 1]], IMAGE.permute(2, 0, 3, 1)),
    ("sum", [IMAGE], [[1, -1], True], IMAGE.sum((1, -1), keepdim=True)),
    ("amax", [IMAGE], [[2]], IMAGE.amax(2)),
    ("cumsum", [IMAGE], [1], IMAGE.cumsum(1)),
    ("slice", [IMAGE], [2, 1, -2, 2], IMAGE[:, :, 1:-2:2]),
    ("select", [IMAGE], [-1, -2], IMAGE[..., -2]),
    ("repeat", [A], [[2, 1, 3]], A.repeat(2, 1, 3)),
    ("_log_softmax", [A], [0], A.log_softmax(0)),
    ("flip", [A], [[0, 1]], A.flip((0, 1))),
    ("constant_pad_nd", [A], [[1, 2, 0, 1], 5], torch.nn.functional.pad(A, (1, 2, 0, 1), value=5.0)),
    ("convolution", [IMAGE, KERNEL], [None, [2, 1], [1, 2], [1, 1], False, [0, 0], 1], None),
    ("convolution", [IMAGE, KERNEL.transpose(0, 1)], [None, [2, 3], [1, 0], [1, 1], True, [1, 0], 1], None),
    ("diagonal", [A], [1], A.diagonal(1)),
    ("linalg_solve_triangular", [A[:, :3], A], [{"upper": True}], None),
    ("round", [torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 2.4])], [], torch.tensor([0.0, 2.0, 2.0, 0.0, -2.0, 2.0])),
]


@pytest.mark.parametrize("number", range(len(OPERATIONS)))
def test_an_operation_is_pytorchs(bench, number):
    name, tensors, more, expected = OPERATIONS[number]
    if expected is None:
        target = getattr(torch.ops.aten, name).default
        keywords = more[-1] if isinstance(more[-1], dict) else {}
        expected = target(*tensors, *(more[:-1] if keywords else more), **keywords)
    inputs = [{"shape": list(t.shape), "values": t.flatten().tolist()} for t in tensors]
    found = bench.evaluate("([name, inputs, more]) => bench.operation(name, inputs, more)", [name, inputs, more])
    assert found["shape"] == list(expected.shape)
    assert np.allclose(found["values"], expected.flatten().tolist(), rtol=1e-12, atol=1e-12)


def test_special_functions(bench):
    x = np.concatenate([np.linspace(0.01, 30, 200), [1, 2, 1e-6, 1e3, 1e6, -0.5, -3.3]]).tolist()
    for name, function in (("lgamma", special.gammaln), ("digamma", special.digamma)):
        found = bench.evaluate(f"(x) => x.map(bench.special.{name})", x)
        assert np.allclose(found, function(np.array(x)), rtol=1e-12, atol=1e-12), name
    wide = [-800.0, -30.0, 0.0, 3.0, 800.0]
    assert bench.evaluate("(x) => x.map(bench.special.softplus)", wide) == pytest.approx(np.logaddexp(0, wide).tolist())


def test_normal_numbers_are_normal(bench):
    found = np.array(bench.evaluate("bench.normals(3, 20000)"))
    assert stats.kstest(found, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.03
    assert found[:5].tolist() != bench.evaluate("bench.normals(4, 5)")


def test_arrays_come_as_they_were(bench):
    for array, found in zip(ARRAYS, bench.evaluate("bench.arrays"), strict=True):
        assert found == array.double().flatten().tolist()


def test_every_byte_survives_as_text(bench):
    data = bytes(range(256)) * 3 + np.random.default_rng(0).bytes(50_000)
    assert bytes(bench.evaluate("(text) => bench.bytes(text)", as_text(data)))[: len(data)] == data


def test_text_is_text(bench):
    assert bench.evaluate("bench.text('<img src=x onerror=alert(1)>')").startswith("&lt;img")
    assert bench.evaluate("bench.number(NaN)") == "not a number"
    assert bench.evaluate("bench.ticks(0, 1, 5)") == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert not bench.errors
