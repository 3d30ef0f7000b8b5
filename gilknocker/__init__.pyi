from gilknocker.comparison import compare as compare
from gilknocker.histogram import WaitHistogram as WaitHistogram
from gilknocker.holders import Holder as Holder
from gilknocker.knock_knock import KnockKnock as KnockKnock
from gilknocker.snapshot import Snapshot as Snapshot
from gilknocker.thread_times import ThreadTimes as ThreadTimes
from gilknocker.tracer import GilTracer as GilTracer
from gilknocker.tracer import GilTracerUnsupported as GilTracerUnsupported

__all__ = [
    "GilTracer",
    "GilTracerUnsupported",
    "Holder",
    "KnockKnock",
    "Snapshot",
    "ThreadTimes",
    "WaitHistogram",
    "__version__",
    "compare",
]

__version__: str

def __dir__() -> list[str]: ...
def load_ipython_extension(ipython: object) -> None: ...
def unload_ipython_extension(ipython: object) -> None: ...
