"""A run of a program in which everything is followed from where it comes from to the densities of its sites."""

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor

from elbolab.programs.dependence import Dependence, tensors
from elbolab.programs.marks import Cut, Jump, Noise, Parameter
from elbolab.programs.sites import Site, is_subsample, role
from elbolab.programs.supports import bounds


class Follow(Messenger):
    """Names the latents' values, and finds what the density of every site carries."""

    def __init__(self, dependence: Dependence, held: Collection[str]) -> None:
        super().__init__()
        self.dependence, self.held, self.found = dependence, held, dict[str, Site]()
        self.jumps: set[Jump] = set()
        self.cuts: dict[str, set[Cut]] = {}
        self.ends: list[Tensor] = []

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        if msg["type"] != "sample":
            return
        if is_subsample(msg):
            if isinstance(msg["value"], Tensor):  # the plate's own draw, and both programs have the same
                with torch._C.DisableTorchFunction():
                    msg["value"] = msg["value"].clone()
            return
        name, kind, follow = msg["name"], role(msg), self.dependence
        seen = follow.of(msg["value"])
        # What the density depends on besides the value: the value is looked at without its marks.
        value = _constant(msg["value"])
        try:
            density = msg["fn"].log_prob(value)
        except NotImplementedError:  # a flow that knows the density of the tensor that it has drawn, and of no other
            value = msg["value"]
            density = msg["fn"].log_prob(value)
        terms = density, msg["mask"], msg["scale"]
        whole = terms if kind == "latent" else (*terms, msg["value"])
        noise: set[Noise] = set()
        if kind != "deterministic":
            self.jumps |= follow.carried((terms, msg["value"]), Jump)
            noise, self.cuts[name] = follow.carried(whole, Noise), follow.carried(whole, Cut)
            self.ends += tensors(list(whole))
        depends = follow.of(terms)
        # Drawn here; what is replayed is what it was computed from: a point mass is a function of latents.
        if kind == "latent" and name not in seen and not (seen and name in self.held):
            if value is msg["value"]:
                follow.forget(value)
            else:
                msg["value"] = _variable(value)
            follow.mark(msg["value"], frozenset({name}))
        own, network = (min((n.how for n in noise if n.network == which), default="") for which in (False, True))
        moving = kind == "latent" and any(follow.carried(part, Parameter) for part in bounds(msg["fn"]))
        self.found[name] = Site.of(msg, depends=depends, seen=seen, noise=own, network=network, support_moves=moving)


def followed(
    program: Callable, arguments: tuple, keywords: Any, dependence: Dependence, held: Collection[str] = ()
) -> tuple[poutine.Trace, Follow]:
    """A run's trace, and what was found in it. Gradients are on, as in a step."""
    # Nothing is compiled where the compiler was never imported, which takes seconds.
    eagerly = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
    with torch.enable_grad(), eagerly, dependence, Follow(dependence, held) as follow:
        trace = poutine.trace(program).get_trace(*arguments, **keywords)
    return trace, follow


def with_jumps(guide: Follow, model: Follow) -> None:
    """Says of every latent of the guide where it jumps before it reaches a density of either program."""
    for name, site in guide.found.items():
        jumps = [jump for jump in guide.jumps | model.jumps if jump.name == name]
        moves = "" if site.discrete else max((jump.how for jump in jumps if jump.moves), default="")
        guide.found[name] = replace(site, jumps=max((jump.how for jump in jumps), default=""), moves=moves)


def with_cuts(runs: list[Follow]) -> None:
    """Says of every site which parameter its density has lost a part of: one that is frozen altogether has no part."""
    reached = set(_leaves([end for run in runs for end in run.ends]))
    for run in runs:
        for name, cuts in run.cuts.items():
            lost = [cut for cut in cuts if cut.number or cut.ident in reached]
            if lost:
                run.found[name] = replace(run.found[name], cut=min(lost, key=_by_how))


def _by_how(mark: Any) -> str:  # noqa: ANN401
    return str(mark.how)


def _constant(value: Tensor) -> Tensor:
    with torch._C.DisableTorchFunction():
        return value.detach().clone()


def _variable(value: Tensor) -> Tensor:
    """The same with a gradient of its own, and no leaf: it may be written into as in a step."""
    with torch._C.DisableTorchFunction():
        return value.detach().requires_grad_().clone() if value.is_floating_point() else value.detach().clone()


def _leaves(ends: list[Tensor]) -> Iterator[int]:
    """The leaves of autograd's graph that some tensors were computed from, by their identities."""
    for end in ends:
        if end.requires_grad and end.is_leaf:
            yield id(end)
    stack = [end.grad_fn for end in ends if end.grad_fn is not None]
    seen = set(stack)
    while stack:
        node: Any = stack.pop()
        if hasattr(node, "variable"):
            yield id(node.variable)
        new = {following for following, _ in node.next_functions if following is not None} - seen
        seen |= new
        stack += new
