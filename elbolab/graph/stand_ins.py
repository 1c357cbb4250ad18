"""Programs traced as they are: what they use from outside gets a stand-in, by identity, wherever they have it from."""

import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from pyro.ops.provenance import ProvenanceTensor
from torch import Tensor
from torch.fx import Node
from torch.overrides import TorchFunctionMode

from elbolab.graph.operations import selected
from elbolab.graph.reads import READS, CannotCapture, Dependence, answered, asking, line
from elbolab.graph.torch_internals import node_of, pytree, tracing, untraced

_PATIENCE = 180.0  # seconds for a trace: whatever takes longer is a loop without an end, or as good as that
_TURNS = 300_000  # operations, for the same reason
_DATA: Any = torch.Tensor.data  # the attribute itself


class StandIns(TorchFunctionMode):
    """While programs are traced: an operation on a tensor of theirs gets that tensor's stand-in.

    Parameters are given. Any other tensor from outside the trace, such as a buffer, a constant of a closure or data,
    gets a copy of its own at its first use, so that what is written into it is written into the copy. `backward` adds
    up gradients here. A value that is read has to be a constant, or to follow from the arguments alone.
    """

    def __init__(
        self, parameters: Sequence[tuple[Tensor, Tensor]], given: Iterable[tuple[Tensor, Tensor]], reads: Dependence
    ) -> None:
        """
        Args:
            parameters: each with the leaf that stands for it.
            given: other tensors with theirs.
            reads: what it notes what is read of.
        """
        super().__init__()
        self._known = [old for old, _ in (*parameters, *given)]  # kept, so that their ids are nobody else's
        self._table = {id(old): new for old, new in (*parameters, *given)}
        self._leaves = [new for _, new in parameters]
        self.gradients: list[Tensor | None] = [None] * len(self._leaves)
        self.outside: list[tuple[Tensor, Tensor, Node]] = []
        self.reads = reads
        self._turns, self._until = 0, time.monotonic() + _PATIENCE

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if not tracing():  # PyTorch's own, while it takes down an operation such as a Dirichlet's draw
            return func(*args, **(kwargs or {}))
        self._frame = sys._getframe(1)
        self._turns += 1
        if self._turns > _TURNS or time.monotonic() > self._until:
            raise CannotCapture(f"{line(self._frame)} goes on for more than {self._turns - 1} operations")
        args, kwargs = pytree.tree_map(self.inside, (args, kwargs or {}))
        name = getattr(func, "__name__", "")
        if name in READS:
            return self._read(func, args, kwargs)
        special = _SPECIAL.get(name)
        return func(*args, **kwargs) if special is None else special(self, func, args, kwargs)

    def inside(self, value: Any) -> Any:
        """The stand-in of a tensor, if it has one; whatever else as it is."""
        if not isinstance(value, Tensor):
            return value
        if id(value) in self._table:
            return self._table[id(value)]
        if isinstance(value, ProvenanceTensor):
            inner = self.inside(value._t)
            return value if inner is value._t else ProvenanceTensor(inner, value._provenance)
        return value if node_of(value) is not None else self._copied(value)

    def _copied(self, value: Tensor) -> Tensor:
        if value.grad_fn is not None:
            raise CannotCapture(
                f"{line(self._frame)} uses a tensor that was computed from parameters in an earlier step, or before it"
            )
        if value.requires_grad and torch.is_grad_enabled():
            raise CannotCapture(
                f"{line(self._frame)} uses a tensor that asks for a gradient and is not among what is trained; with"
                " pyro.module or pyro.param it is, with requires_grad_(False) it asks for none"
            )
        stand_in = value.detach().clone()
        node = node_of(stand_in)
        if node is None:
            raise CannotCapture("a tensor is used that no trace can follow")
        self._known.append(value)
        self._table[id(value)] = stand_in
        self.outside.append((value, stand_in, node))
        return stand_in

    def _read(self, func: Any, args: tuple, kwargs: dict) -> Any:
        answer, where = answered(self._frame)
        if answer is not None:
            return answer(args[0])
        tensors = [value for value in pytree.tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        self.reads.add(tensors, f"{where} asks for a value: Tensor.{func.__name__}")
        with untraced():
            return func(*args, **kwargs)

    def _backward(self, func: Any, args: tuple, kwargs: dict) -> None:
        names = ("gradient", "retain_graph", "create_graph", "inputs")
        given = dict(zip(names, args[1:], strict=False)) | kwargs
        if given.get("inputs") is not None:
            raise CannotCapture(f"{line(self._frame)} asks for the gradient of some tensors alone")
        wanted = [i for i, leaf in enumerate(self._leaves) if leaf.requires_grad]
        with self:
            found = torch.autograd.grad(
                args[0],
                [self._leaves[i] for i in wanted],
                given.get("gradient"),
                retain_graph=True,
                create_graph=bool(given.get("create_graph")),
                allow_unused=True,
            )
        for i, new in zip(wanted, found, strict=True):
            old = self.gradients[i]
            self.gradients[i] = new if old is None else old if new is None else old + new

    def _hook(self, func: Any, args: tuple, kwargs: dict) -> Any:
        """Pyro's own look for NaN and stop nothing; the user's are part of what they compute."""
        return None if asking(self._frame).co_filename.endswith("pyro/util.py") else func(*args, **kwargs)

    def _attribute(self, func: Any, args: tuple, kwargs: dict) -> Any:
        if func == _DATA.__get__:
            return args[0].detach()  # which is the same, and does not slip past the trace
        return func(*args, **kwargs)

    def _assigned(self, func: Any, args: tuple, kwargs: dict) -> Any:
        if func == _DATA.__set__:
            raise CannotCapture(f"{line(self._frame)} puts another tensor into .data")
        return func(*args, **kwargs)

    def _one_hot(self, func: Any, args: tuple, kwargs: dict) -> Tensor:
        """PyTorch's own looks at the values for those that are out of range."""
        index, classes = args[0], (*args[1:], kwargs.get("num_classes", -1))[0]
        if classes < 0:
            self.reads.add([index], f"{line(self._frame)}, one_hot without num_classes, asks for the largest value")
            with untraced():
                classes = int(index.max()) + 1
        return (index[..., None] == torch.arange(classes, device=index.device)).long()

    def _batch_norm(self, func: Any, args: tuple, kwargs: dict) -> Tensor:
        """PyTorch's own writes into the running averages behind the trace's back."""
        names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
        given = dict(zip(names, args, strict=False)) | kwargs
        mean, variance = given.get("running_mean"), given.get("running_var")
        if not given.get("training") or mean is None or variance is None or func is not torch.nn.functional.batch_norm:
            return func(*args, **kwargs)
        x, momentum = given["input"].detach(), given.get("momentum", 0.1)
        over = [0, *range(2, x.dim())]
        with torch.no_grad():
            mean.mul_(1 - momentum).add_(momentum * x.mean(over))
            variance.mul_(1 - momentum).add_(momentum * x.var(over))
        return func(**(given | {"running_mean": None, "running_var": None}))

    def _masked_select(self, func: Any, args: tuple, kwargs: dict) -> Tensor:
        """TraceEnum_ELBO sums over what has a positive probability; zeros elsewhere leave sum and gradient the same."""
        if asking(self._frame).co_name != "compute_expectation":
            return func(*args, **kwargs)
        value, mask = args
        return torch.where(mask, value, torch.zeros((), dtype=value.dtype, device=value.device))


_SPECIAL = {
    "__getitem__": lambda _, func, args, kwargs: selected(func, *args),
    "backward": StandIns._backward,
    "register_hook": StandIns._hook,
    "__get__": StandIns._attribute,
    "__set__": StandIns._assigned,
    "batch_norm": StandIns._batch_norm,
    "one_hot": StandIns._one_hot,
    "masked_select": StandIns._masked_select,
}
