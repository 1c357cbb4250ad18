"""Under which names does the calling code store what it is just now waiting for? Its own instructions say."""

import dis
from functools import cache
from types import CodeType, FrameType


def users(frame: FrameType | None) -> FrameType:
    """The frame outside PyTorch."""
    while frame is not None and frame.f_back is not None and "/torch/" in frame.f_code.co_filename:
        frame = frame.f_back
    assert frame is not None
    return frame


@cache
def _instructions(code: CodeType) -> list[dis.Instruction]:
    return list(dis.get_instructions(code))


def _stores(instructions: list[dis.Instruction]) -> tuple[str, ...]:
    """The names that the next instructions store to."""
    names: list[str] = []
    for instruction in instructions:
        if instruction.opname.startswith("STORE_FAST_LOAD"):
            return (*names, instruction.argval[0])
        if instruction.opname.startswith("STORE_FAST_STORE"):
            names += instruction.argval
        elif instruction.opname in ("STORE_FAST", "STORE_NAME", "STORE_DEREF", "STORE_GLOBAL", "STORE_ATTR"):
            names.append(instruction.argval)
        elif not instruction.opname.startswith(("LOAD_FAST", "COPY", "CACHE")):
            break
    return tuple(names)


def _after(frame: FrameType) -> list[dis.Instruction]:
    instructions = _instructions(frame.f_code)
    at = next((i for i, one in enumerate(instructions) if one.offset == frame.f_lasti), len(instructions))
    return instructions[at:]


def stored_as(frame: FrameType) -> tuple[str, ...]:
    """The names that the value which this frame is just now waiting for is stored under: `mu, s = f(x)` has two."""
    following = _after(frame)[1:]
    while following and following[0].opname in ("CACHE", "COPY"):
        following = following[1:]
    if following and following[0].opname == "UNPACK_SEQUENCE":
        return unpacked_at(following)
    return _stores(following[:2])[:1]


def unpacked_as(frame: FrameType) -> tuple[str, ...]:
    """The names that this frame is unpacking to."""
    following = _after(frame)
    return unpacked_at(following) if following and following[0].opname == "UNPACK_SEQUENCE" else ()


def unpacked_at(instructions: list[dis.Instruction]) -> tuple[str, ...]:
    count = instructions[0].argval
    names = [one for one in instructions[1:] if one.opname != "CACHE"]
    found = _stores(names[: 2 * count])[:count]
    return (*found, *[""] * (count - len(found)))
