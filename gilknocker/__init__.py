"""How busy the GIL is and how long a thread waits for it, measured from within.

>>> from gilknocker import KnockKnock
>>> with KnockKnock() as knocker:
...     total = sum(range(1_000_000))
>>> 0 <= knocker.contention_metric <= 1
True

Importing this package loads nothing else: what it exports comes with its first use, so that it
costs nothing where it is not used. It has no assert that pytest could explain, and is loaded before
pytest rewrites any: PYTEST_DONT_REWRITE.
"""

__version__ = "1.0.0"
__all__ = [
    "GilTracer",
    "GilTracerUnsupported",
    "Holder",
    "KnockKnock",
    "Snapshot",
    "StacksUnsupported",
    "Stall",
    "StallWatch",
    "StallsUnsupported",
    "ThreadTimes",
    "WaitHistogram",
    "__version__",
    "compare",
    "watch_stalls",
]


def __getattr__(name: str) -> object:
    # Statements, which what makes one file of a program finds. Not importlib, whose import takes
    # as long as that of half of this package.
    if name in ("GilTracer", "GilTracerUnsupported"):
        from gilknocker.meters import tracer as home
    elif name == "Holder":
        from gilknocker.snapshot import holders as home
    elif name in ("KnockKnock", "StacksUnsupported"):
        from gilknocker.meters import knock_knock as home
    elif name == "Stall":
        from gilknocker.meters import stalls as home
    elif name in ("StallWatch", "StallsUnsupported", "watch_stalls"):
        from gilknocker.meters import stall_watch as home
    elif name == "Snapshot":
        from gilknocker.snapshot import value as home
    elif name == "ThreadTimes":
        from gilknocker.snapshot import thread_times as home
    elif name == "WaitHistogram":
        from gilknocker.snapshot import histogram as home
    elif name == "compare":
        from gilknocker.reports import comparison as home
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(home, name)  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: object) -> None:
    """Let ``%load_ext gilknocker`` bring the magic ``%gil``."""
    from gilknocker.integrations.ipython import load

    load(ipython)


def unload_ipython_extension(ipython: object) -> None:
    """Let ``%unload_ext gilknocker`` take it away."""
    from gilknocker.integrations.ipython import unload

    unload(ipython)
