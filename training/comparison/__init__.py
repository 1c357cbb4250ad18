"""Runs side by side."""

from training.comparison.command import compare

__all__ = ["compare"]
