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
    "ThreadTimes",
    "WaitHistogram",
    "__version__",
    "compare",
]

_HOMES = {
    "GilTracer": "meters.tracer",
    "GilTracerUnsupported": "meters.tracer",
    "Holder": "snapshot.holders",
    "KnockKnock": "meters.knock_knock",
    "Snapshot": "snapshot.value",
    "StacksUnsupported": "meters.knock_knock",
    "ThreadTimes": "snapshot.thread_times",
    "WaitHistogram": "snapshot.histogram",
    "compare": "reports.comparison",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Not importlib, whose import takes as long as that of half of this package.
    value = getattr(__import__(f"{__name__}.{_HOMES[name]}", fromlist=[name]), name)
    globals()[name] = value  # the next use does not come here
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
