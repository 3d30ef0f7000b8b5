"""What a trace knows of one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gilknocker._checks import MAX_INT64, shown

if TYPE_CHECKING:
    from typing import Any

__all__ = ["ThreadTimes"]


_OTHER_TYPES: dict[str, type] = {"name": str, "ours": bool, "alive": bool}
_SINCE_1_1 = dict.fromkeys(("wanted_releases", "retakes", "passed_over", "passed_over_ns"), 0)


class ThreadTimes(NamedTuple):
    """What one thread did with the GIL while a tracer ran. All times in ns."""

    native_id: int
    serial: int
    name: str
    ours: bool
    alive: bool
    held_ns: int
    waited_ns: int
    released_ns: int
    lifetime_ns: int
    acquisitions: int
    waits: int
    forced_releases: int
    longest_hold_ns: int
    longest_wait_ns: int
    wanted_releases: int = 0
    retakes: int = 0
    passed_over: int = 0
    passed_over_ns: int = 0

    @classmethod
    def from_dict(cls, data: Any) -> ThreadTimes:
        """Make one of what ``_asdict()`` gave; what version 1.0 did not know is 0.

        Raises
        ------
        TypeError, ValueError
            If it is something else, naming the key, the value and what is allowed.
        """
        if not isinstance(data, dict):
            raise TypeError(f"each of threads must be a dict, not {shown(data)}")
        if data.keys() == set(cls._fields) - _SINCE_1_1.keys():
            data = {**data, **_SINCE_1_1}
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


# A named tuple's fields are described to help() and to the manual by their own docstrings.
for _name, _text in {
    "native_id": (
        "The system's number of it, as ``threading.Thread.native_id``: given out again later."
    ),
    "serial": (
        "Its number in this trace: never given out again, and ``thread`` in `GilTracer.events`."
    ),
    "name": ("As far as known: of a thread that ended before anybody asked, its number."),
    "ours": "Whether it is one of the meter's own threads.",
    "alive": "Whether it is still there.",
    "held_ns": "How long it held the GIL, ns.",
    "waited_ns": ("How long it waited for the GIL, ns: wanted to run Python code and could not."),
    "released_ns": (
        "How long it neither held the GIL nor asked for it, ns: slept, computed without it, "
        "did input or output. ``held_ns + waited_ns + released_ns == lifetime_ns``."
    ),
    "lifetime_ns": "How long it was there while the tracer ran, ns, as far as seen.",
    "acquisitions": "How often it took the GIL.",
    "waits": "How often it found the GIL taken.",
    "forced_releases": (
        "How often it let go while another thread had asked it to, after the switch interval."
    ),
    "longest_hold_ns": "The longest time without letting go, ns; also if it still goes on.",
    "longest_wait_ns": "The longest wait, ns; also if it still goes on.",
    "wanted_releases": "How often it let go while another thread of the program waited.",
    "retakes": (
        "How often of those it was the next to take the GIL again, before who waited was awake."
    ),
    "passed_over": "How often others did so while this one waited.",
    "passed_over_ns": "The time of its waits in which that happened, ns: part of ``waited_ns``.",
}.items():
    getattr(ThreadTimes, _name).__doc__ = _text
