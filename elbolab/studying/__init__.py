"""Gradient estimators side by side: bias, variance, signal-to-noise ratio and cost."""

from elbolab.studying.study import Result, Study, study

__all__ = ["Result", "Study", "study"]
