"""What the code of a loss calls what it computes from the second head: a deviation, or a variance?"""

import ast
import inspect
from typing import Any

import torch

from elbolab.auditing.heads import HEADS, claimed, plain
from elbolab.auditing.probe.code import body_of, underlying


def contradiction(function: Any, name: str, head: str) -> str:
    """What is said where `sigma = softplus(rho)` is charged as a variance, or `var = ...` as a deviation; else nothing.

    Only assignments of the second head alone are read, and only where the head's own name says nothing.
    """
    if claimed(name):
        return ""
    at = torch.tensor([0.3, 0.9, 1.7], dtype=torch.float64)
    variance = HEADS[head].variance(at, torch)
    meanings = {"std": variance.sqrt(), "var": variance}
    for called, value in _computed(function, name, at):
        states = claimed(called)
        if states not in meanings or torch.allclose(value, meanings[states]):
            continue
        other = "var" if states == "std" else "std"
        if torch.allclose(value, meanings[other]):
            words = {"std": "a standard deviation", "var": "a variance"}
            return (
                f"`{called}`, computed from `{name}`, is charged as {words[other]}: rename it if z is drawn with it as"
                f" {words[other]}; if it is {words[states]}, the KL is wrong"
            )
    return ""


def _computed(function: Any, name: str, at: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """What is assigned from the second head alone, by the names it gets, at some values of the head."""
    function = underlying(function)
    found = []
    for node in ast.walk(body_of(function) or ast.Module([], [])):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            continue
        names = {inner.id for inner in ast.walk(node.value) if isinstance(inner, ast.Name)}
        modules = {n for n in names if inspect.ismodule(getattr(function, "__globals__", {}).get(n))}
        if name not in names or names - modules - {name} or plain(node.targets[0].id) == plain(name):
            continue
        code = compile(ast.Expression(node.value), "<the loss>", "eval")
        try:
            value = eval(code, dict(function.__globals__), {name: at})
        except Exception:  # it wants the head in another form; then nothing is said of it
            continue
        if isinstance(value, torch.Tensor) and value.shape == at.shape:
            found.append((node.targets[0].id, value))
    return found
