"""Gradient estimators side by side: bias, variance, signal-to-noise ratio and cost."""
