"""What the checks of arguments and of stored data share: limits, and words for messages.

Annotations are in quotes where they are not plain: `from __future__` imports a module, which the
first KnockKnock() has no use for.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_INT64 = 2**63 - 1
# Not of math, nor of operator below: a module costs the first KnockKnock() 0.1 ms.
INFINITY = float("inf")
NAN = float("nan")
_LONGEST = 40


def shown(value: object) -> str:
    """Return `value` as an error message shows it: short, and never an exception of its own."""
    if isinstance(value, (list, tuple, dict, set, frozenset)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"  # repr() refuses thousands of digits
    if isinstance(value, (str, bytes)) and len(value) > _LONGEST:
        return f"{value[:_LONGEST]!r}..."
    try:
        text = repr(value)
    except Exception:
        return f"a {type(value).__name__}"
    return text if len(text) <= 2 * _LONGEST else f"{text[: 2 * _LONGEST]}..."


def stored_list(name: str, value: "Any") -> "list[Any]":
    """Return `value` of stored data if it is a list, or raise TypeError."""
    if not isinstance(value, list):
        raise TypeError(f"{name} must be a list, not {shown(value)}")
    return value


def stored_count(name: str, value: "Any") -> int:
    """Return `value` of stored data if it is a count or a time in ns.

    Raises
    ------
    TypeError
        If it is no int.
    ValueError
        If it is out of range.
    """
    allowed = "an integer from 0 to 2**63 - 1"
    if type(value) is not int:
        raise TypeError(f"{name} must be {allowed}, not {shown(value)}")
    if not 0 <= value <= MAX_INT64:
        raise ValueError(f"{name} must be {allowed}, not {shown(value)}")
    return value


def is_bool(value: object) -> bool:
    """Whether `value` is a bool, Python's or numpy's: both pass as integers elsewhere."""
    return type(value).__name__ in ("bool", "bool_")


def checked_index(
    name: str, value: "Any", allowed: str, *, least: float = -INFINITY, most: float = INFINITY
) -> int:
    """Return `value` as an int from `least` to `most`; `allowed` says so in words.

    Raises
    ------
    TypeError
        If it is no integer (a bool is none).
    ValueError
        If it is out of range.
    """
    try:
        number = value if type(value) is int else _index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{name} must be {allowed}, not {shown(value)}") from None
    if not least <= number <= most:
        raise ValueError(f"{name} must be {allowed}, not {shown(number)}")
    return number


def checked_real(name: str, value: "Any", allowed: str) -> float:
    """Return `value` as a float, infinities included.

    Raises
    ------
    TypeError
        If it is no real number (a bool is none).
    ValueError
        If it is not a number, or beyond the range of a float.
    """
    if is_bool(value) or not _is_real(value):
        raise TypeError(f"{name} must be {allowed}, not {shown(value)}")
    try:
        real = float(value)
    except OverflowError:
        real = NAN
    if real != real:
        raise ValueError(f"{name} must be {allowed}, not {shown(value)}")
    return real


def _index(value: "Any") -> "int | None":
    from _operator import index  # `operator` imports functools on some Pythons

    return None if is_bool(value) else index(value)


def _is_real(value: object) -> bool:
    if isinstance(value, (int, float)):
        return True
    from numbers import Real  # here, for it takes its time to import

    return isinstance(value, Real)
