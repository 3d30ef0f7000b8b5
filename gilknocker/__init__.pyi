from gilknocker.meters.knock_knock import KnockKnock as KnockKnock
from gilknocker.meters.knock_knock import StacksUnsupported as StacksUnsupported
from gilknocker.meters.stall_watch import StallsUnsupported as StallsUnsupported
from gilknocker.meters.stall_watch import StallWatch as StallWatch
from gilknocker.meters.stall_watch import watch_stalls as watch_stalls
from gilknocker.meters.stalls import Stall as Stall
from gilknocker.meters.tracer import GilTracer as GilTracer
from gilknocker.meters.tracer import GilTracerUnsupported as GilTracerUnsupported
from gilknocker.reports.comparison import compare as compare
from gilknocker.snapshot.histogram import WaitHistogram as WaitHistogram
from gilknocker.snapshot.holders import Holder as Holder
from gilknocker.snapshot.thread_times import ThreadTimes as ThreadTimes
from gilknocker.snapshot.value import Snapshot as Snapshot

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

__version__: str

def __dir__() -> list[str]: ...
def load_ipython_extension(ipython: object) -> None: ...
def unload_ipython_extension(ipython: object) -> None: ...
