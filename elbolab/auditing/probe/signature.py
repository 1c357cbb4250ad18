"""What a loss asks for, argument by argument: tensors, and what is filled in for everything else."""

import ast
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from elbolab.auditing.heads import plain
from elbolab.auditing.probe.code import body_of
from elbolab.auditing.probe.names import ANY, END, SLOT_OF, is_counter, is_mask, is_switch, number_for, options
from elbolab.auditing.probe.templates import Gaussian, Joined, Labels, Lengths, Ones, Size, Stand

_NETWORK = re.compile(r"(vae_?)?(model|net|network|module|vae|cvae|encoder|decoder|enc|dec|autoencoder|self_?)")
_CONTAINER = re.compile(
    r"(model_?)?(outputs?|outs?|results?|ret|returned|batch|args|cfg|config|opts?|hparams|params|inference_outputs"
    r"|generative_outputs|tensors|preds?|predictions|stats|losses|latent_dist|q|dist|posterior)"
)
_BATCH = re.compile(r"batch_?size|bs|bsz|n_?batch|batch_?len")
_DATA_SIZE = re.compile(r"(original|input|data|img|image|x|pixel)_?(dim|size|len)s?|n_?(pixels|features|genes|inputs)")
_LABEL = re.compile(r"y|c|labels?|cond|condition|classes")
_LATENT_SIZE = re.compile(r"(latent|z|code|hidden)_?(dim|size|len)s?|n_?latents?|nz|zdim")


@dataclass(frozen=True)
class Asked:
    """`tensors` are the parameters whose roles are open; the others are filled already.

    `leading` are positional-only templates, `open` says that a stand-in may be asked for slots.
    """

    tensors: tuple[str, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    leading: tuple[Any, ...] = ()
    trailing: tuple[str, ...] = ()  # the names of what is unpacked from *args, after the others
    order: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        return any(isinstance(value, (Stand, Joined, Gaussian)) for value in (*self.leading, *self.named.values()))

    @property
    def leading_names(self) -> tuple[str, ...]:
        return tuple(value.name for value in self.leading if isinstance(value, Stand))

    def filled(self, slots: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and the named templates."""
        values = {**self.named, **slots}
        if not self.trailing:
            return self.leading, values
        positional = [values.pop(name) for name in (*self.order, *self.trailing)]
        return (*self.leading, *positional), values


def asked_of(function: Callable[..., Any], passed: Mapping[str, Any], before: tuple[Stand, ...] = ()) -> Asked:
    """The parameters that need a value: without a default, or with None where the name is one of ours.

    `before` are the objects that stand before them, such as self.
    """
    try:
        # A module's own signature is (*args, **kwargs).
        parameters = list(inspect.signature(getattr(function, "forward", function)).parameters.values())
    except (TypeError, ValueError):
        schema = getattr(function, "schema", None)  # of a scripted function
        return Asked(tuple(a.name for a in schema.arguments) if schema else ())
    body = body_of(getattr(function, "forward", function))
    named: dict[str, Any] = {}
    tensors: list[str] = []
    said: list[str] = []
    order: list[str] = []
    trailing: tuple[str, ...] = ()
    leading: list[Any] = [*before]
    for parameter in parameters[len(before) :]:
        name, kind = parameter.name, parameter.kind
        if name in passed and kind is not parameter.VAR_POSITIONAL:
            continue
        if kind is parameter.VAR_POSITIONAL:
            trailing = _unpacked(body, name)
            tensors += trailing
            continue
        if kind is parameter.VAR_KEYWORD:
            for key in _keys(body, name):
                value, why = _given(key)
                if key in passed:
                    continue
                if value is not None:
                    named[key] = value
                    said.append(why)
                elif options(key) is not ANY:
                    tensors.append(key)
            continue
        required = parameter.default is parameter.empty
        if not required and type(parameter.default) is int and parameter.default in (0, 1) and is_counter(name):
            named[name] = END
            said.append(
                f"`{name}` is taken as the end of a schedule, of which its default {parameter.default} is the start"
            )
            continue
        if not required and not (parameter.default is None and _wanted(name)):
            continue
        if kind is parameter.POSITIONAL_ONLY:
            leading.append(Stand(name))
            continue
        order.append(name)
        value, why = _given(name) if len(name) > 1 or name == "self" else (None, "")
        if before and _LABEL.fullmatch(name) and len(parameters) > 2:
            value, why = Labels(), f"`{name}` is taken as labels"
        if value is None:
            value = _shaped(body, name)
        if value is None:
            tensors.append(name)
        else:
            named[name] = value
            said += [why] if why else []
    return Asked(tuple(tensors), named, tuple(leading), trailing, tuple(order), tuple(said))


def _wanted(name: str) -> bool:
    """Is it one of the tensors, so that its default of None is not what is meant?"""
    return options(name) is not ANY and _given(name)[0] is None


def _given(name: str) -> tuple[Any, str]:
    """The template for a parameter that is no tensor, and what is said of it."""
    bare = plain(name)
    if is_mask(name):
        idle = "pad" in bare and "mask" not in bare
        return Ones(idle=idle), f"`{name}` is taken as {'no padding' if idle else 'a mask of ones'}"
    for pattern, size, words in (
        (_BATCH, Size("x"), "the batch's length"),
        (_DATA_SIZE, Size("x", None), "the numbers in a datum"),
        (_LATENT_SIZE, Size("mu", -1), "the number of latents"),
    ):
        if pattern.fullmatch(bare):
            return size, f"`{name}` is taken as {words}"
    if _NETWORK.fullmatch(bare) or _CONTAINER.fullmatch(bare):
        return (None, "") if bare in ("output", "outputs", "out", "pred", "preds", "q") else (Stand(name), "")
    number = number_for(name)
    if number is not None:
        return number, f"`{name}` is taken as {'the end of a schedule' if number == END else f'{number:g}'}"
    if re.fullmatch(r"lengths?|seq_?lens?|x_?lens?", bare):
        return Lengths(), f"`{name}` is taken as whole sequences"
    if re.fullmatch(r"storer|logger|writer|callbacks?|log", bare):
        return Stand(name), ""
    if re.fullmatch(r"(is_)?train(ing)?", bare):
        return True, f"`{name}` is taken as True"
    return ("mean", f"`{name}` is taken as 'mean'") if is_switch(name) and "reduc" in bare else (None, "")


def _shaped(body: ast.AST | None, name: str) -> Any:
    """The template for what is no tensor by itself: both heads in one, a distribution, something with parts."""
    if body is None:
        return None
    inside = [part for node in getattr(body, "body", []) for part in getattr(node, "body", [])]
    text = "\n".join(map(ast.unparse, inside))
    halved = rf"(torch\.chunk\({name}|{name}\.chunk\(|torch\.split\({name}|{name}\.split\()"
    if re.search(halved, text):
        return Joined()
    named = options(name) is not ANY and SLOT_OF[options(name)[0]] in ("mu", "head")  # kl_divergence(mu, logvar)
    if re.search(rf"\b{name}\.(loc|scale|stddev|rsample|log_prob)\b|kl_divergence\({name}\b", text) and not named:
        return Gaussian()
    return Stand(name) if _structured(body, name) else None


def _structured(body: ast.AST | None, name: str) -> bool:
    """Is this parameter taken apart by keys, attributes or as a tuple, rather than calculated with?"""
    if body is None:
        return False
    for node in ast.walk(body):
        if isinstance(node, ast.Assign) and _is(node.value, name) and isinstance(node.targets[0], ast.Tuple):
            return True
        if isinstance(node, ast.Attribute) and _is(node.value, name) and not hasattr(torch.Tensor, node.attr):
            return True
        if isinstance(node, ast.Attribute) and _is(node.value, name) and node.attr in ("mean", "items", "get"):
            called = any(isinstance(n, ast.Call) and n.func is node for n in ast.walk(body))
            if not called or node.attr in ("items", "get"):
                return True
        if isinstance(node, ast.Subscript) and _is(node.value, name) and _constant(node.slice, str):
            return True
        if isinstance(node, ast.Call) and _is(node.func, name):
            return True
    stored = [n.value for n in ast.walk(body) if isinstance(n, ast.Assign) and isinstance(n.value, ast.Subscript)]
    return sum(_is(value.value, name) and _constant(value.slice, int) for value in stored) > 1


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _constant(node: ast.AST, kind: type) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, kind)


def _unpacked(body: ast.AST | None, name: str) -> tuple[str, ...]:
    """The names that *args is taken apart to: by position, or all at once."""
    found: dict[int, str] = {}
    for node in ast.walk(body) if body else ():
        if not isinstance(node, ast.Assign):
            continue
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for part, item in zip(target.elts, value.elts, strict=False):
                index = item.slice if isinstance(item, ast.Subscript) and _is(item.value, name) else None
                if isinstance(part, ast.Name) and isinstance(index, ast.Constant) and isinstance(index.value, int):
                    found[index.value] = part.id
            continue
        if isinstance(target, ast.Tuple) and _is(value, name):
            return tuple(part.id if isinstance(part, ast.Name) else f"{name}{i}" for i, part in enumerate(target.elts))
        if (
            isinstance(target, ast.Name)
            and isinstance(value, ast.Subscript)
            and _is(value.value, name)
            and isinstance(value.slice, ast.Constant)
            and isinstance(value.slice.value, int)
        ):
            found[value.slice.value] = target.id
    return tuple(found.get(i, f"{name}{i}") for i in range(max(found, default=-1) + 1))


def _keys(body: ast.AST | None, name: str) -> list[str]:
    """The keys that **kwargs is asked for."""
    keys = []
    for node in ast.walk(body) if body else ():
        if isinstance(node, ast.Subscript) and _is(node.value, name) and isinstance(node.slice, ast.Constant):
            keys.append(node.slice.value)
    return [key for key in dict.fromkeys(keys) if isinstance(key, str)]
