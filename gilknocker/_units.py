"""Numbers, and text of others, as people read them."""

from __future__ import annotations

_UNITS = ((1, "ns"), (1_000, "µs"), (1_000_000, "ms"), (1_000_000_000, "s"))


def format_ns(ns: float, digits: int = 2) -> str:
    """Return a duration with the unit that suits it.

    Parameters
    ----------
    ns : float
        The duration in ns, >= 0.
    digits : int, default 2
        Significant digits; those before the point are never cut.

    Examples
    --------
    >>> format_ns(850), format_ns(4_912_000), format_ns(2e9, digits=3)
    ('850 ns', '4.9 ms', '2.00 s')
    """
    for size, unit in _UNITS:
        decimals = 0 if size == 1 else max(digits - len(str(int(ns / size))), 0)
        text = f"{ns / size:.{decimals}f}"
        if float(text) < 1000 or unit == "s":
            break
    return f"{text} {unit}"


def format_percent(fraction: float) -> str:
    """Return a fraction as a percentage with one decimal, without the sign.

    Examples
    --------
    >>> format_percent(0.8734)
    '87.3'
    """
    return f"{100 * fraction:.1f}"


def format_count(count: int, noun: str) -> str:
    """Return how many of something, by its name in the singular.

    Examples
    --------
    >>> format_count(1, "thread"), format_count(2, "thread")
    ('1 thread', '2 threads')
    """
    ending = "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{'' if count == 1 else ending}"


def fitting(text: str, stream: object) -> str:
    """Return text as a stream can show it: "us" for "µs" where its encoding has no µ.

    What else it cannot show is escaped, as ``backslashreplace`` does.

    Examples
    --------
    >>> import io
    >>> fitting("10 µs", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    '10 us'
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("µ", "u").encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:  # of an encoding that a program made up
        pass
    return text


def printable(text: str) -> str:
    """Return text of others on one line, with a blank for each letter that cannot be printed."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
