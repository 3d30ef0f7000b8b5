"""Stacks for JSON, and back with every value checked: a part of a stored snapshot."""

from __future__ import annotations

from gilknocker._checks import shown, stored_count, stored_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gilknocker.snapshot.stacks import _StoredFrame, _StoredStack, _StoredStacks

__all__ = ["decode", "encode"]

_KEYS = ("frames", "thread", "held_ns", "waited_ns", "native_ns", "retaken_ns")


def encode(stacks: _StoredStacks) -> dict[str, Any] | None:
    """Return stacks for JSON, each frame once."""
    if stacks is None:
        return None
    numbers: dict[_StoredFrame, int] = {}
    rows = [
        dict(
            zip(
                _KEYS,
                ([numbers.setdefault(f, len(numbers)) for f in frames], *rest),
                strict=True,
            )
        )
        for frames, *rest in stacks
    ]
    return {"frames": [list(frame) for frame in numbers], "stacks": rows}


def decode(value: Any, traced: bool) -> _StoredStacks:
    """Return stacks from JSON, every value checked.

    Parameters
    ----------
    value : object
        What `encode` made.
    traced : bool
        Whether they are of a trace, several threads of which may have waited at once.

    Raises
    ------
    TypeError, ValueError
        As :meth:`Snapshot.from_dict` says.
    """
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"frames", "stacks"}:
        raise ValueError(f"stacks must be None or a dict of frames and stacks, not {shown(value)}")
    frames = [_frame(one) for one in stored_list("stacks.frames", value["frames"])]
    return tuple(
        _stack(one, frames, traced) for one in stored_list("stacks.stacks", value["stacks"])
    )


def _frame(value: Any) -> _StoredFrame:
    if not isinstance(value, list) or [type(one) for one in value] != [str, str, int]:
        raise ValueError(
            f"each of stacks.frames must be [function, file, line], not {shown(value)}"
        )
    function, file, line = value
    if not 0 <= line < 2**31:
        raise ValueError(f"a line must be an integer from 0 to 2**31 - 1, not {shown(line)}")
    return function, file, line


def _stack(value: Any, frames: list[_StoredFrame], traced: bool) -> _StoredStack:
    if not isinstance(value, dict) or set(value) != set(_KEYS):
        raise ValueError(f"each of stacks must be a dict of {', '.join(_KEYS)}, not {shown(value)}")
    if not isinstance(value["thread"], str):
        raise TypeError(f"stacks.thread must be a str, not {shown(value['thread'])}")
    numbers = stored_list("stacks.frames of a stack", value["frames"])
    for number in numbers:
        if type(number) is not int or not 0 <= number < len(frames):
            raise ValueError(
                f"a frame of a stack must be an integer from 0 to {len(frames) - 1}, "
                f"not {shown(number)}"
            )
    held, waited, native, retaken = (
        stored_count(f"stacks.{name}", value[name]) for name in _KEYS[2:]
    )
    if (waited > held and not traced) or native > held:
        raise ValueError(f"stacks.waited_ns and native_ns must be at most held_ns, {held}")
    if retaken > waited:
        raise ValueError(f"stacks.retaken_ns must be at most waited_ns, {waited}")
    found = tuple(frames[number] for number in numbers)
    return found, value["thread"], held, waited, native, retaken
