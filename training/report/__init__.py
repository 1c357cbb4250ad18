"""A run as one HTML file that computes: `python evaluate.py RUN --report`."""

from training.report.page import write

__all__ = ["write"]
