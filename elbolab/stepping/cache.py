"""Graphs by structure of the arguments: when one is made, when it serves, when the programs are called instead."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyro
import torch
from pyro.poutine.runtime import _PYRO_STACK
from torch import Tensor

from elbolab.graph.reads import CannotCapture
from elbolab.graph.torch_internals import pytree
from elbolab.graph.trace import said
from elbolab.stepping import watching
from elbolab.stepping.comparison import Disagrees
from elbolab.stepping.entry import Changed, Entry, NotNow
from elbolab.stepping.taking import Failed, StepFailed
from elbolab.stepping.watching import as_tensors

if TYPE_CHECKING:
    from elbolab.stepping.svi import CompiledSVI

_TRIES = 3  # graphs made anew for one structure, because something plain changed


class Cache:
    """Steps, or evaluations, of an SVI: by a graph where there is one that serves."""

    def __init__(self, svi: "CompiledSVI", loss: Any, *, gradient: bool, compile: bool, graphs: int) -> None:
        self.svi, self.loss = svi, loss
        self.gradient, self.compile, self.graphs = gradient, compile, graphs
        self.described = "eager: nothing has run yet"
        self._left: dict[Tensor, tuple[Tensor | None, int]] = {}
        self._entries: dict[Any, Entry] = {}

    def __call__(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        leaves, spec = pytree.tree_flatten((args, kwargs))
        reason = _beside(leaves)
        if reason is not None:
            return self._eagerly(reason, args, kwargs)
        entry = self._entry(leaves, spec)
        if entry is None:
            return self._eagerly(f"more than {self.graphs} structures or shapes of arguments", args, kwargs)
        if entry.reason is not None:
            return self._eagerly(entry.reason, args, kwargs)
        if entry.taken is None:
            taken = self.stock(args, kwargs)
            entry.first(taken, leaves)
            self.described = "eager: the first step with arguments of a structure is Pyro's own"
            return as_tensors(taken.loss)
        try:
            if entry.graph is None:
                with said():
                    entry.capture(leaves)
            loss = entry(leaves, args, kwargs)
            self.described = entry.described
            return loss
        except Changed as change:
            entry.graph = None
            entry.made += 1
            if entry.made >= _TRIES:
                entry.reason = f"{change} changes from step to step; as a tensor among the arguments it may"
            taken = self.stock(args, kwargs)
            entry.first(taken, leaves)  # it may have made parameters anew
            loss = as_tensors(taken.loss)
            self.described = f"eager: {change} has changed; the next step is captured anew"
            return loss
        except NotNow as reason:
            return self._eagerly(str(reason), args, kwargs)
        except Disagrees as answer:  # the step has been taken, by Pyro
            entry.refuse(str(answer.__cause__))
            self.described = f"eager: {entry.reason}"
            return answer.loss
        except CannotCapture as error:
            entry.refuse(str(error))
            return self._eagerly(str(error), args, kwargs)
        except Failed as error:
            loss = self._eagerly(f"the graph {error}", args, kwargs)  # where this raises too, the batch is to blame
            entry.reason, entry.graph = f"the graph {error}", None
            return loss
        except StepFailed as error:
            entry.reason, entry.graph = f"the compiled step {error.reason}", None
            raise

    def _eagerly(self, reason: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        self.described = f"eager: {reason}"
        return as_tensors(self.stock(args, kwargs).loss)

    def stock(self, args: tuple, kwargs: dict[str, Any], *, keep: bool = False) -> watching.Taken:
        """As Pyro does it."""
        svi = self.svi
        if self.gradient:
            taken = watching.step(svi.loss_and_grads, svi.model, svi.guide, svi.optim, args, kwargs, keep=keep)
            self.leave(taken.parameters)
            return taken
        return watching.Taken(svi.loss(svi.model, svi.guide, *args, **kwargs))

    def leave(self, parameters: Iterable[Tensor]) -> None:
        """Remembers what a step leaves as gradients: zeros, or nothing."""
        self._left |= {p: (p.grad, 0 if p.grad is None else p.grad._version) for p in parameters}

    def left(self, parameters: Iterable[Tensor]) -> bool:
        """Whether that is still so: a gradient that somebody else has put there is added to."""
        for p in parameters:
            gradient, version = self._left.get(p, (None, 0))
            if p.grad is not gradient or (gradient is not None and gradient._version != version):
                return False
        return True

    def _entry(self, leaves: list, spec: Any) -> Entry | None:
        key = (
            str(spec),
            tuple(map(_kind, leaves)),
            torch.get_default_dtype(),
            torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"),
            torch.get_autocast_dtype("cpu"),
            torch.is_grad_enabled(),
            pyro.settings.get("module_local_params"),
        )
        found = self._entries.get(key)
        if found is None and len(self._entries) < self.graphs:
            found = self._entries[key] = Entry(self, spec)
        return found


def _kind(leaf: Any) -> Any:
    """What of an argument a graph is for; a float is looked at apart."""
    if isinstance(leaf, Tensor):
        aligned = leaf.device.type != "cuda" or leaf.data_ptr() % 16 == 0
        return leaf.shape, leaf.stride(), leaf.dtype, leaf.device, aligned
    if isinstance(leaf, float):
        return float
    if isinstance(leaf, int | bool | str | bytes | type(None) | np.generic):
        return type(leaf), leaf
    return type(leaf), id(leaf)


def _beside(leaves: list) -> str | None:
    """What lets no graph serve, whatever the programs are."""
    if len(_PYRO_STACK):
        return "the step is taken inside of a Pyro handler"
    for leaf in leaves:
        if isinstance(leaf, np.ndarray):
            return "there is a NumPy array among the arguments; a tensor would do"
        if isinstance(leaf, Tensor) and (
            type(leaf) not in (Tensor, torch.nn.Parameter) or leaf.layout != torch.strided
        ):
            return f"there is a {type(leaf).__name__} of layout {leaf.layout} among the arguments"
        if isinstance(leaf, Tensor) and leaf.requires_grad:
            return "there is a tensor with a gradient of its own among the arguments"
    return None
