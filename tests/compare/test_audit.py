import json

import pytest
import torch

from compare import Verdict, audit
from compare.__main__ import main
from compare.verdict import KINDS, RIGHT
from tests.compare.audit_zoo import ZOO


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
