from gilknocker.comparison import compare as compare
from gilknocker.histogram import WaitHistogram as WaitHistogram
from gilknocker.knock_knock import KnockKnock as KnockKnock
from gilknocker.snapshot import Snapshot as Snapshot

__all__ = ["KnockKnock", "Snapshot", "WaitHistogram", "__version__", "compare"]

__version__: str

def __dir__() -> list[str]: ...
def load_ipython_extension(ipython: object) -> None: ...
def unload_ipython_extension(ipython: object) -> None: ...
