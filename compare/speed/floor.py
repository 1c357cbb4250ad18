"""What no implementation of a step can do without: its matrix products, and its passes over the parameters."""

import time
import timeit
from statistics import median

import torch
from torch import Tensor, nn
from torch.fx import Node

from elbolab.graph.capture import capture
from elbolab.graph.inductor import product

aten = torch.ops.aten
PRODUCTS = (
    aten.mm.default,
    aten.addmm.default,
    aten.convolution.default,
    aten.convolution_backward.default,
)
PASSES = 7  # Adam reads parameter, gradient and two moments, and writes parameter and moments


class Products:
    """The matrix products and convolutions of an objective's captured graph, on numbers of the same shapes.

    Each by the faster of PyTorch's own operation and oneDNN's on factors that lie as it likes them.
    """

    name = "floor: products alone"

    def __init__(self, objective: nn.Module, x: Tensor) -> None:
        self.device = x.device
        graph = capture(objective, x).graph
        self.calls = [self._call(node) for node in graph.graph.nodes if node.target in PRODUCTS]

    def _call(self, node: Node) -> tuple:
        arguments = [self._value(argument) for argument in node.args]
        way = node.target, arguments
        if node.target not in (aten.mm.default, aten.addmm.default) or self.device.type != "cpu":
            return way
        a, b = arguments[-2:]
        other = product, [a.contiguous(), b.contiguous()]
        return min(way, other, key=_seconds) if torch.backends.mkldnn.is_available() else way

    def _value(self, argument: object) -> object:
        if not isinstance(argument, Node):
            return argument
        like = argument.meta["val"]
        storage = torch.randn(max(1, like.untyped_storage().nbytes() // like.element_size()), device=self.device)
        return storage.as_strided(like.shape, like.stride())

    def __call__(self, steps: int) -> None:
        with torch.no_grad():
            for _ in range(steps):
                for operation, arguments in self.calls:
                    operation(*arguments)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _seconds(way: tuple) -> float:
    operation, arguments = way
    with torch.no_grad():
        return min(timeit.repeat(lambda: operation(*arguments), number=1, repeat=20))


def seconds_for_parameters(objective: nn.Module) -> float:
    """The bytes that Adam has to move, over the bandwidth of a copy of as many parameters on the same device."""
    numbers = sum(p.numel() for p in objective.parameters())
    device = next(objective.parameters()).device
    source, target = (torch.randn(numbers, device=device) for _ in range(2))
    taken = []
    for _ in range(50):
        start = time.perf_counter()
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return median(taken) * PASSES / 2
