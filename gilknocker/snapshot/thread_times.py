"""What a trace knows of one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gilknocker._checks import MAX_INT64, shown

if TYPE_CHECKING:
    from typing import Any

__all__ = ["ThreadTimes"]


_OTHER_TYPES: dict[str, type] = {"name": str, "ours": bool, "alive": bool}


class ThreadTimes(NamedTuple):
    """What one thread did with the GIL while a tracer ran. All times in ns."""

    native_id: int
    """The system's number of it, as ``threading.Thread.native_id``: given out again later."""
    serial: int
    """Its number in this trace: never given out again, and ``thread`` in `GilTracer.events`."""
    name: str
    """As far as known: of a thread that ended before anybody asked, its number."""
    ours: bool
    """Whether it is one of the meter's own threads."""
    alive: bool
    """Whether it is still there."""
    held_ns: int
    """How long it held the GIL."""
    waited_ns: int
    """How long it waited for the GIL: wanted to run Python code and could not."""
    released_ns: int
    """How long it neither held the GIL nor asked for it: slept, computed without it, did input or
    output. ``held_ns + waited_ns + released_ns == lifetime_ns``."""
    lifetime_ns: int
    """How long it was there while the tracer ran, as far as seen."""
    acquisitions: int
    """How often it took the GIL."""
    waits: int
    """How often it found the GIL taken."""
    forced_releases: int
    """How often it let go while another thread had asked it to, after the switch interval."""
    longest_hold_ns: int
    """The longest time without letting go; also if it still goes on."""
    longest_wait_ns: int
    """The longest wait; also if it still goes on."""

    @classmethod
    def from_dict(cls, data: Any) -> ThreadTimes:
        """Make one of what ``_asdict()`` gave.

        Raises
        ------
        TypeError, ValueError
            If it is something else, naming the key, the value and what is allowed.
        """
        if not isinstance(data, dict):
            raise TypeError(f"each of threads must be a dict, not {shown(data)}")
        if data.keys() != set(cls._fields):
            raise ValueError(f"each of threads must have the keys {', '.join(cls._fields)}")
        for name in cls._fields:
            expected = _OTHER_TYPES.get(name, int)
            if type(data[name]) is not expected:
                raise TypeError(
                    f"threads.{name} must be of type {expected.__name__}, not {shown(data[name])}"
                )
            if expected is int and not -MAX_INT64 <= data[name] <= MAX_INT64:
                raise ValueError(f"threads.{name} must fit in 64 bits, not {shown(data[name])}")
        return cls(**data)
