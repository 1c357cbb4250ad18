"""The networks that estimators learn themselves, whose inputs they see at the first step."""

from torch import nn


class Sized(nn.LazyLinear):
    """A linear layer for as many numbers as it first sees, none of them too: then it is its bias."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.bias is not None and not self.has_uninitialized_params() and self.in_features == 0:
            nn.init.zeros_(self.bias)  # PyTorch leaves it as it finds the memory


def one_layer(hidden: int) -> nn.Sequential:
    """A number from any numbers, by one hidden layer."""
    return nn.Sequential(Sized(hidden), nn.Tanh(), nn.Linear(hidden, 1))
