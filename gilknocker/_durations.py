"""Durations as people write them."""

from __future__ import annotations

from gilknocker._checks import MAX_INT64, shown

__all__ = ["parse_duration"]

_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "\u03bcs": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_ALLOWED = "a duration greater than 0 with its unit (ns, µs, ms or s), such as '50 ms'"


def parse_duration(name: str, value: object) -> int:
    """Return a duration in ns.

    Parameters
    ----------
    name : str
        What it is called in messages.
    value : str
        A decimal number and a unit, with or without a space between them.

    Raises
    ------
    TypeError
        If it is no string. A bare number is none: whether it means s or ms would be a guess.
    ValueError
        If it is something else, not greater than 0 ns, or does not fit in 64-bit ns.

    Examples
    --------
    >>> parse_duration("limit", "50 ms"), parse_duration("limit", "1.5us")
    (50000000, 1500)
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be {_ALLOWED}, not {shown(value)}")
    text = value.strip()
    # The long ones first: all end in "s".
    unit = next((unit for unit in _UNITS if text.endswith(unit)), "")
    number = text[: len(text) - len(unit)].rstrip()
    digits = number.replace(".", "", 1)
    if not unit or not (digits.isascii() and digits.isdecimal()) or len(number) > 30:
        raise ValueError(f"{name} must be {_ALLOWED}, not {shown(value)}")
    ns = round(float(number) * _UNITS[unit])
    if not 1 <= ns <= MAX_INT64:
        raise ValueError(f"{name} must be {_ALLOWED}, not {shown(value)}")
    return ns
