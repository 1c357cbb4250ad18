"""The mistakes in a KL that have a name: each with the function that it makes of the KL."""

from collections.abc import Callable

from torch import Tensor

KL_SLIPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "it is KL(p || q), the wrong way round, of a log-variance": lambda m, h: 0.5 * (h + (1 + m**2) * (-h).exp()),
    "it is KL(p || q), the wrong way round, of a log-std": lambda m, h: h + 0.5 * (1 + m**2) * (-2 * h).exp(),
    "it is KL(p || q), the wrong way round, of a std": lambda m, h: h.log() + 0.5 * (1 + m**2) / h**2,
    "exp(log-std) is not squared: 2 h - exp(h) is neither a log-std's nor a log-variance's": lambda m, h: (
        0.5 * (m**2 + h.exp() - 2 * h)
    ),
    "exp(2 h) is a log-std's variance, but h is charged as a log-variance": lambda m, h: (
        0.5 * (m**2 + (2 * h).exp() - h)
    ),
    "a std is not squared where the variance is meant": lambda m, h: 0.5 * (m**2 + h - 2 * h.log()),
    "log(std) is not doubled where log(var) is meant": lambda m, h: 0.5 * (m**2 + h**2 - h.log()),
    "a log-variance is squared where it should be exponentiated": lambda m, h: 0.5 * (m**2 + h**2 - h),
    "the variance is not charged: mu^2 alone lets the noise die out": lambda m, h: 0.5 * m**2,
    "the mean is not squared": lambda m, h: 0.5 * (m + h.exp() - h),
    "the mean is not charged": lambda m, h: 0.5 * (h.exp() - h),
    "the log-variance term is missing (the entropy): the noise dies out": lambda m, h: 0.5 * (m**2 + h.exp()),
    "the exp(logvar) term is missing: the variance grows without bound": lambda m, h: 0.5 * (m**2 - h),
    "the sign of mu^2 is wrong": lambda m, h: 0.5 * (h.exp() - h - m**2),
    "the sign of exp(logvar) is wrong": lambda m, h: 0.5 * (m**2 - h.exp() - h),
    "the sign of logvar is wrong": lambda m, h: 0.5 * (m**2 + h.exp() + h),
    "one half is missing before mu^2": lambda m, h: m**2 + 0.5 * (h.exp() - h),
    "one half is missing before exp(logvar)": lambda m, h: 0.5 * (m**2 - h) + h.exp(),
    "one half is missing before logvar": lambda m, h: 0.5 * (m**2 + h.exp()) - h,
    "only logvar is halved": lambda m, h: m**2 + h.exp() - 0.5 * h,
}
