"""Models whose evidence, posterior, bounds and gradients are known exactly."""

from compare.oracles.bits import Bits, Codes, OneBit
from compare.oracles.linear_gaussian import LinearGaussian
from compare.oracles.quadrature import NormalNormal
from compare.oracles.signal_to_noise import SignalToNoise

__all__ = ["Bits", "Codes", "LinearGaussian", "NormalNormal", "OneBit", "SignalToNoise"]
