"""Models whose evidence, posterior, bounds and gradients are known exactly."""

from compare.oracles.linear_gaussian import LinearGaussian

__all__ = ["LinearGaussian"]
