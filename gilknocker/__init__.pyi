from gilknocker.histogram import WaitHistogram as WaitHistogram
from gilknocker.holders import Holder as Holder
from gilknocker.knock_knock import KnockKnock as KnockKnock
from gilknocker.snapshot import Snapshot as Snapshot
from gilknocker.tracer import GilTracer as GilTracer
from gilknocker.tracer import GilTracerUnsupported as GilTracerUnsupported
from gilknocker.tracer import ThreadTimes as ThreadTimes

__all__ = [
    "GilTracer",
    "GilTracerUnsupported",
    "Holder",
    "KnockKnock",
    "Snapshot",
    "ThreadTimes",
    "WaitHistogram",
    "__version__",
]

__version__: str

def __dir__() -> list[str]: ...
