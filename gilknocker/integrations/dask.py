"""The GILs of a Dask cluster: who holds them, worker by worker.

>>> from gilknocker.integrations.dask import watch
>>> gil = watch(client)  # doctest: +SKIP
>>> with gil.measure() as window:  # doctest: +SKIP
...     result.compute()
>>> print(window.by_worker())  # doctest: +SKIP
"""

from __future__ import annotations

import statistics
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from gilknocker._units import format_ns
from gilknocker.meters.totals import Totals
from gilknocker.reports.plotting import require
from gilknocker.snapshot.value import Snapshot

require("distributed", "dask", "gilknocker.integrations.dask")

from distributed.diagnostics.plugin import WorkerPlugin  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from distributed import Client as _Client

__all__ = ["ByWorker", "ClusterGil", "GilWorkerPlugin", "watch"]

NAME = "gilknocker"


class GilWorkerPlugin(WorkerPlugin):  # type: ignore[misc]  # Any, for mypy
    """Reads the knocker that a worker's system monitor has; never starts one.

    Each heartbeat takes a small dict to the scheduler, ``worker.metrics["gil"]``: ``id`` (of this
    plugin in this process), ``held_seconds``, ``observed_seconds``, ``knocks``, ``wait_p99_ns`` and
    ``wait_max_ns`` so far. The monitor resets its knocker twice a second; these go on.
    """

    name = NAME
    idempotent = True

    def setup(self, worker: Any) -> None:
        """Begin.

        Raises
        ------
        RuntimeError
            If the worker does not watch its GIL.
        """
        knocker = getattr(worker.monitor, "_gilknocker", None)
        if knocker is None:
            raise RuntimeError(
                f"the worker {worker.address} does not watch its GIL: "
                "distributed.admin.system-monitor.gil.enabled must be true in its configuration"
            )
        self.id = uuid4().hex
        self.totals = Totals(knocker)
        worker.metrics["gil"] = self._told

    def teardown(self, worker: Any) -> None:
        """End."""
        worker.metrics.pop("gil", None)

    def _told(self, worker: Any) -> dict[str, Any]:
        total = self.totals.snapshot()
        return {
            "id": self.id,
            "held_seconds": self.totals.held_seconds(total),
            "observed_seconds": total.observed_seconds,
            "knocks": total.knocks,
            "wait_p99_ns": round(total.percentile(99)) if total.knocks else None,
            "wait_max_ns": total.wait_max_ns,
        }


class ByWorker(dict[str, Snapshot]):
    """Snapshots by the address of their worker; printed, a table with least, median and most.

    A mean would hide one worker at 100 %.
    """

    def __str__(self) -> str:
        rows = [
            (address, one.held_fraction or 0.0, one.percentile(99), one.wait_max_ns)
            for address, one in sorted(self.items())
        ]
        if not rows:
            return "no workers"
        columns = list(zip(*rows, strict=True))[1:]
        for name, pick in (("least", min), ("median", statistics.median), ("most", max)):
            rows.append((name, *(pick(column) for column in columns)))
        width = max(len(row[0]) for row in rows)
        head = f"{'worker':{width}}  {'held':>7}  {'wait p99':>9}  {'wait max':>9}"
        lines = [
            f"{name:{width}}  {held:7.1%}  {_ns(p99):>9}  {_ns(most):>9}"
            for name, held, p99, most in rows
        ]
        return "\n".join([head, *lines])

    def merged(self) -> Snapshot:
        """Return all of them as one snapshot: its held fraction is the mean of theirs, by time.

        Raises
        ------
        ValueError
            If there are no workers.
        """
        return Snapshot.merge(self.values())


class Window:
    """What the workers did between two instants, as far as they were there at the end."""

    def __init__(self) -> None:
        self._workers: ByWorker | None = None

    def by_worker(self) -> ByWorker:
        """Return the snapshot of each worker; of one that came in between, from its start.

        Raises
        ------
        RuntimeError
            If the window has not ended.
        """
        if self._workers is None:
            raise RuntimeError("the window has not ended: leave its with block first")
        return self._workers

    def snapshot(self) -> Snapshot:
        """Return all of them as one snapshot."""
        return self.by_worker().merged()


class ClusterGil:
    """The GILs of a cluster's workers, as `watch` returns it."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    def by_worker(self) -> ByWorker:
        """Return the snapshot of each worker that is there, since `watch` or since it came."""
        return ByWorker((address, total) for address, (_, total) in self._read().items())

    def snapshot(self) -> Snapshot:
        """Return all of them as one snapshot."""
        return self.by_worker().merged()

    @contextmanager
    def measure(self) -> Iterator[Window]:
        """Measure what the workers do while a block runs: a computation, with its result."""
        window, before = Window(), self._read()
        try:
            yield window
        finally:
            window._workers = _between(before, self._read())

    def close(self) -> None:
        """Take the plugin from the workers."""
        self._client.unregister_worker_plugin(NAME)

    def _read(self) -> Mapping[str, tuple[str, Snapshot]]:
        read: Mapping[str, tuple[str, Snapshot] | None] = self._client.run(_totals)
        return {address: one for address, one in read.items() if one is not None}


def watch(client: _Client) -> ClusterGil:
    """Watch the GILs of a cluster's workers, also of those that come later.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster, a synchronous one.

    Raises
    ------
    RuntimeError
        If a worker does not watch its GIL.
    """
    client.register_plugin(GilWorkerPlugin())
    return ClusterGil(client)


def _totals(dask_worker: Any) -> tuple[str, Snapshot] | None:
    """Return what a worker counted; it runs there."""
    plugin = dask_worker.plugins.get(NAME)
    return None if plugin is None else (plugin.id, plugin.totals.snapshot())


def _between(
    before: Mapping[str, tuple[str, Snapshot]], after: Mapping[str, tuple[str, Snapshot]]
) -> ByWorker:
    # By the plugin's own id: an address is given out again.
    earlier = dict(before.values())
    return ByWorker(
        (address, total - earlier[number] if number in earlier else total)
        for address, (number, total) in after.items()
    )


def _ns(value: float) -> str:
    return "-" if value != value else format_ns(round(value))
