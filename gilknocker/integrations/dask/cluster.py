"""The GILs of a cluster, as its client sees them."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from gilknocker.integrations.dask.by_worker import ByWorker
from gilknocker.integrations.dask.scheduler import GilSchedulerPlugin, has_plugins, read_scheduler
from gilknocker.integrations.dask.worker import GilWorkerPlugin, read_worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike

    from distributed import Client as _Client
    from matplotlib.axes import Axes

    from gilknocker.integrations.dask.heartbeats import HeartbeatTotals
    from gilknocker.snapshot.stacks import HeldStack
    from gilknocker.snapshot.value import Snapshot

__all__ = ["ClusterGil", "Window", "watch"]


class _Views:
    """What a cluster's GILs show, as long as they were watched or in a window."""

    def by_worker(self) -> ByWorker:
        """Return the snapshot of each worker."""
        raise NotImplementedError

    def snapshot(self) -> Snapshot:
        """Return those of all workers as one snapshot.

        Raises
        ------
        ValueError
            If there are no workers.
        """
        return self.by_worker().merged()

    def stacks(self) -> tuple[HeldStack, ...]:
        """Return by which stacks the GILs were held, largest first: see `ByWorker.stacks`."""
        return self.by_worker().stacks()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw how long each worker's GIL was held: see `ByWorker.plot`."""
        return self.by_worker().plot(ax)

    def to_html(self, path: str | PathLike[str], title: str = "The GILs of a Dask cluster") -> None:
        """Write a page that needs nothing else: see `ByWorker.to_html`."""
        self.by_worker().to_html(path, title)


class Window(_Views):
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

    def __str__(self) -> str:
        return "a window that has not ended" if self._workers is None else str(self._workers)

    def _repr_html_(self) -> str | None:
        return None if self._workers is None else self._workers._repr_html_()


class ClusterGil(_Views):
    """The GILs of a cluster's workers, as `watch` returns it.

    Each call asks the workers anew, but `totals`, which asks the scheduler. Once the client is
    closed, as with its cluster, all but `close` raise RuntimeError.
    """

    def __init__(self, client: _Client, name: str) -> None:
        self._client = client
        self._name = name

    def by_worker(self) -> ByWorker:
        """Return the snapshot of each worker that is there, since it was first watched."""
        return ByWorker((address, total) for address, (_, total) in self._read().items())

    def totals(self) -> HeartbeatTotals:
        """Return what the heartbeats told the scheduler, also of workers that are gone.

        Of some seconds ago, as often as Dask's workers send theirs; no worker is asked.

        Raises
        ------
        RuntimeError
            If it was closed, or the client was.
        """
        self._must_be_open()
        read: HeartbeatTotals | None = self._client.run_on_scheduler(read_scheduler)
        if read is None:
            raise RuntimeError("the scheduler does not watch: this was closed, or it restarted")
        return read

    @contextmanager
    def measure(self) -> Iterator[Window]:
        """Measure what the workers do while a block runs: a computation, with its result.

        An exception of the block passes. If its cluster is gone by then, the window has not ended.
        """
        window, before = Window(), self._read()
        try:
            yield window
        except BaseException:
            with suppress(Exception):  # it would hide that of the block
                window._workers = _between(before, self._read())
            raise
        window._workers = _between(before, self._read())

    def close(self) -> None:
        """Take the plugins of its `watch` from the scheduler and the workers.

        Nothing if that was done, or the client is closed. What was preloaded stays.
        """
        if self._is_closed():
            return
        client = self._client
        # Asked first: the scheduler logs an error of who takes what is not there.
        there = client.run_on_scheduler(has_plugins, self._name)
        forget = (client.unregister_scheduler_plugin, client.unregister_worker_plugin)
        for is_there, one in zip(there, forget, strict=True):
            if is_there:
                with suppress(ValueError):  # somebody else has, just now
                    one(self._name)

    def _is_closed(self) -> bool:
        return self._client.status in ("closing", "closed")

    def _must_be_open(self) -> None:
        if self._is_closed():
            raise RuntimeError("the client is closed: it cannot ask its cluster")

    def _repr_html_(self) -> str:
        return self.by_worker()._repr_html_()

    def _read(self) -> Mapping[str, tuple[str, Snapshot]]:
        self._must_be_open()
        read: Mapping[str, tuple[str, Snapshot] | None] = self._client.run(read_worker)
        return {address: one for address, one in read.items() if one is not None}


def watch(client: _Client, *, stacks: bool = False, tasks: bool = False) -> ClusterGil:
    """Watch the GILs of a cluster's workers, also of those that come later.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster, a synchronous one. The package must be installed on its scheduler and its
        workers, too.
    stacks : bool, default False
        Whether the workers read the stacks of who holds the GIL: see `GilWorkerPlugin`.
    tasks : bool, default False
        Whether each task tells how long it waited for the GIL: likewise.

    Raises
    ------
    TypeError
        If the client is an asynchronous one.
    RuntimeError
        If a worker does not watch its GIL; `StacksUnsupported` or `GilTracerUnsupported`, which
        are such, if stacks cannot be read there or the GIL cannot be traced. Then nothing is left
        behind.
    """
    if client.asynchronous:
        raise TypeError(
            "client must be a synchronous Client, as Client(address) makes one, "
            "not an asynchronous one"
        )
    plugin = GilWorkerPlugin(stacks=stacks, tasks=tasks)
    plugin.name += f"-{uuid4().hex}"  # who closes this watch ends no other
    gil = ClusterGil(client, plugin.name)
    client.register_plugin(GilSchedulerPlugin(plugin.name))
    try:
        client.register_plugin(plugin)
    except BaseException:
        gil.close()
        raise
    return gil


def _between(
    before: Mapping[str, tuple[str, Snapshot]], after: Mapping[str, tuple[str, Snapshot]]
) -> ByWorker:
    # By the meter's own number: an address is given out again.
    earlier = dict(before.values())
    return ByWorker(
        (address, total - earlier[number] if number in earlier else total)
        for address, (number, total) in after.items()
    )
