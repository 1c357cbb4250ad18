"""The numbers that a page holds: as exact as there is room for, and how exact that is.

An array is cut into planes of bytes, deflated, and written as text with seven bits to a character: at most 1.17
characters a byte, where base64 takes 1.33. Weights are kept as the float32 that they are where that fits; else each
becomes a whole number of steps, a step being 2^-bits of the array's root mean square: coarser pages are smaller.
"""

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

LARGE = 256  # numbers, from which on an array may be kept coarsely
_UNSAFE = {0, 13}  # NUL and CR, which HTML reads as others


class Constants:
    """Arrays by their number, each kept once."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.fixed: list[bool] = []  # kept as they are, however coarse the others become
        self.extra: list[float] = []  # bits that one has more than the others are given
        self._places: dict[tuple[Any, ...], int] = {}

    def add(self, value: Tensor, *, fixed: bool = False) -> int:
        """Takes in an array, and returns its number; `fixed`: it is not coarsened with the others."""
        array = value.detach().cpu().contiguous()
        key = (str(array.dtype), tuple(array.shape), hashlib.sha256(array.numpy().tobytes()).digest())
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(array)
            self.extra.append(0.0)
            self.fixed.append(fixed or array.numel() < LARGE or not array.dtype.is_floating_point)
        return self._places[key]

    def coarse(self, bits: float | None, only: int | None = None) -> list[Tensor]:
        """The arrays as a page of this many bits has them; None: as they are. `only`: one of them, the others exact."""
        return [
            value if given is None or only not in (None, number) else _steps(value, given)[0] * _steps(value, given)[1]
            for number, (value, given) in enumerate(zip(self.values, self._bits(bits), strict=True))
        ]

    def _bits(self, bits: float | None) -> list[float | None]:
        pairs = zip(self.fixed, self.extra, strict=True)
        return [None if fixed or bits is None else bits + extra for fixed, extra in pairs]

    def packed(self, bits: float | None = None) -> tuple[str, list[dict[str, Any]]]:
        """The arrays as text, and what and where each one is."""
        index, parts, at = [], [], 0
        for value, given in zip(self.values, self._bits(bits), strict=True):
            words, planes, step = _words(value.flatten(), given)
            whole = words.view(np.uint8).reshape(-1, words.itemsize)
            part = whole.T[:planes].tobytes() if planes < 8 else words.tobytes()
            index.append({"shape": list(value.shape), "planes": planes, "step": step, "at": at})
            parts.append(part)
            at += len(part)
        return compressed(b"".join(parts)), index


def compressed(data: bytes) -> str:
    """Bytes, deflated, as text that HTML leaves alone."""
    return as_text(zlib.compress(data, 6))


def _steps(value: Tensor, bits: float) -> tuple[Tensor, float]:
    """Whole numbers, and the step that they count."""
    root = value.double().square().mean().sqrt().item() or 1.0
    step = root * 2.0**-bits
    return (value.double() / step).round(), step


def _words(value: Tensor, bits: float | None) -> tuple[np.ndarray, int, float | None]:
    """The numbers as little-endian words, how many of their bytes count, and the step of whole ones."""
    if bits is not None:
        counts, step = _steps(value, bits)
        largest = int(counts.abs().max()) if counts.numel() else 0
        if largest < 2**31:
            return counts.numpy().astype("<i4"), next(p for p in (1, 2, 3, 4) if largest < 2 ** (8 * p - 1)), step
    array = value.double().numpy()
    if not value.dtype.is_floating_point or (
        array.size and (array == array.round()).all() and abs(array).max() < 2**31
    ):
        largest = int(abs(array).max()) if array.size else 0
        return array.astype("<i4"), next(p for p in (1, 2, 3, 4) if largest < 2 ** (8 * p - 1)), 1.0
    with np.errstate(over="ignore"):  # what float32 has no room for becomes infinite, is another number, and stays
        single = array.astype("<f4")
    if (array == single).all():
        return single, 4, None
    return array.astype("<f8"), 8, None


def as_text(data: bytes) -> str:
    """Seven bits to a character; a character that HTML would change is another one with the same seven bits."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    bits = np.concatenate([bits, np.zeros(-len(bits) % 7, np.uint8)])
    codes = np.packbits(bits.reshape(-1, 7), axis=1)[:, 0] >> 1
    table = np.array([code + 0x100 if code in _UNSAFE else code for code in range(128)], np.uint16)
    text = table[codes].astype("<u2").tobytes().decode("utf-16-le")
    return text.replace("<!", "\u013c!").replace("</", "\u013c/")  # what would end or comment the script element


def size(text: str) -> int:
    """Bytes in a file."""
    return len(text.encode())


def worst(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """The largest difference between numbers; infinite where one alone is not finite."""
    apart = 0.0
    for a, b in zip(one, other, strict=True):
        a, b = torch.as_tensor(a).double(), torch.as_tensor(b).double()
        off = torch.where((a == b) | (a.isnan() & b.isnan()), 0.0, (a - b).abs()).nan_to_num(nan=torch.inf)
        apart = max(apart, off.max().item() if off.numel() else 0.0)
    return apart
