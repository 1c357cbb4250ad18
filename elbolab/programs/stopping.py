"""A value that the programs mean to hold still."""

from torch import Tensor


def stop_gradient(value: Tensor) -> Tensor:
    """Holds a value still on purpose: an estimator's gradient is then that of programs in which it is a constant.

    As `value.detach()`, which in a model or a guide may be an oversight, and is refused where it takes a parameter or a
    latent out of a part of the gradient.
    """
    return value.detach()
