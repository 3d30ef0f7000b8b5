"""The GILs of a Dask cluster: who holds them, worker by worker.

>>> from gilknocker.integrations.dask import watch
>>> gil = watch(client)  # doctest: +SKIP
>>> with gil.measure() as window:  # doctest: +SKIP
...     result.compute()
>>> print(window.by_worker())  # doctest: +SKIP
"""

from __future__ import annotations

from gilknocker.reports.plotting import require

require("distributed", "dask", "gilknocker.integrations.dask")

from gilknocker.integrations.dask.by_worker import ByWorker  # noqa: E402
from gilknocker.integrations.dask.cluster import ClusterGil, Window, watch  # noqa: E402
from gilknocker.integrations.dask.heartbeats import HeartbeatTotals  # noqa: E402
from gilknocker.integrations.dask.preload import dask_setup  # noqa: E402
from gilknocker.integrations.dask.scheduler import GilSchedulerPlugin  # noqa: E402
from gilknocker.integrations.dask.worker import GilWorkerPlugin  # noqa: E402

__all__ = [
    "ByWorker",
    "ClusterGil",
    "GilSchedulerPlugin",
    "GilWorkerPlugin",
    "HeartbeatTotals",
    "Window",
    "dask_setup",
    "watch",
]
