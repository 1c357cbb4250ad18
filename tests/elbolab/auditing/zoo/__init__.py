"""Losses as they are found in the wild, each written from its formula, with what the audit has to say of it."""

from tests.elbolab.auditing.zoo import afterwards, right, weights, wrong
from tests.elbolab.auditing.zoo.specimen import ZOO

__all__ = ["ZOO", "afterwards", "right", "weights", "wrong"]
