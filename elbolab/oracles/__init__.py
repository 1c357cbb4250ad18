"""Models whose evidence, posterior, bounds and gradients are known exactly."""

from elbolab.oracles.bits import Bits, Codes, OneBit
from elbolab.oracles.linear_gaussian import LinearGaussian
from elbolab.oracles.quadrature import NormalNormal
from elbolab.oracles.signal_to_noise import SignalToNoise

__all__ = ["Bits", "Codes", "LinearGaussian", "NormalNormal", "OneBit", "SignalToNoise"]
