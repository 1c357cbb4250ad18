"""How the KL's weight goes along training: a share of beta at every step, a function of the step alone.

A small weight at first lets the decoder learn to use z before the KL presses q(z|x) onto the prior (Bowman et al.,
2016, Generating Sentences from a Continuous Space, arXiv 1511.06349). The weight is a tensor that model and guide
share: a compiled step reads it and is not compiled again. A threshold below which the KL costs nothing, free bits, is
no weight but an objective of its own: `--elbo FreeBits`.
"""

from abc import ABC, abstractmethod


class Annealing(ABC):
    """The contract: `share` says which share of beta, in (0, 1], weighs the KL at a step."""

    @abstractmethod
    def share(self, step: int, per_epoch: int) -> float:
        """The share at a step, counted from 0; an epoch has `per_epoch` of them. Never 0, which Pyro does not take."""


class Linear(Annealing):
    """The weight rises in even steps to beta over the first epochs, and stays there (Sonderby et al., 2016).

    At step t, counted from 0, with T steps in those epochs: min(1, (t + 1) / T). Ladder Variational Autoencoders, arXiv
    1602.02282, calls it warm-up.
    """

    def __init__(self, *, epochs: int = 10) -> None:
        """
        Args:
            epochs: over which it rises.
        """
        if epochs < 1:
            raise ValueError(f"epochs = {epochs}: over how many the KL's weight rises, one at least")
        self.epochs = epochs

    def share(self, step: int, per_epoch: int) -> float:
        return min(1.0, (step + 1) / (self.epochs * per_epoch))


class Cyclical(Annealing):
    """The weight rises to beta and starts again, cycle after cycle (Fu et al., 2019, Cyclical Annealing Schedule).

    At step t, counted from 0, of a cycle of T: min(1, (t + 1) / (ratio T)), the linear one of arXiv 1903.10145. The
    paper has four cycles in a run; here a cycle's length is given, so that a run that is lengthened goes on as it was.
    After the last cycle the weight stays at beta.
    """

    def __init__(self, *, epochs: int = 10, cycles: int | None = None, ratio: float = 0.5) -> None:
        """
        Args:
            epochs: of a cycle.
            cycles: how many; to the end of the run, if left out.
            ratio: the share of a cycle in which the weight rises.
        """
        if epochs < 1:
            raise ValueError(f"epochs = {epochs}: the length of a cycle, one at least")
        if cycles is not None and cycles < 1:
            raise ValueError(f"cycles = {cycles}: one at least")
        if not 0 < ratio <= 1:
            raise ValueError(f"ratio = {ratio}: a share of the cycle, above 0 and at most 1")
        self.epochs, self.cycles, self.ratio = epochs, cycles, ratio

    def share(self, step: int, per_epoch: int) -> float:
        length = self.epochs * per_epoch
        cycle, position = divmod(step, length)
        if self.cycles is not None and cycle >= self.cycles:
            return 1.0
        return min(1.0, (position + 1) / (self.ratio * length))


def chosen(annealing: Annealing | None, beta_warmup: int) -> Annealing | None:
    """What the options mean: `--beta_warmup N` is short for `--annealing Linear --annealing.epochs N`.

    Raises:
        ValueError: both were given.
    """
    if annealing is not None and beta_warmup:
        raise ValueError(f"beta_warmup = {beta_warmup} is short for --annealing Linear; give one of the two")
    return Linear(epochs=beta_warmup) if beta_warmup else annealing
