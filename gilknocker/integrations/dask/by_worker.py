"""The snapshots of a cluster's workers, side by side."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gilknocker.reports import workers
from gilknocker.snapshot import stacks
from gilknocker.snapshot.value import Snapshot

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes

    from gilknocker.snapshot.stacks import HeldStack

__all__ = ["ByWorker"]

# What distributed.worker calls a thread of its pools: by its own name, the process, and a number.
_OF_A_POOL = re.compile(r"^.*(Dask-\w+-Threads)-\d+-\d+$")


class ByWorker(dict[str, Snapshot]):
    """Snapshots by the address of their worker; shown, a table with least, median and most.

    A mean would hide one worker at 100 %.
    """

    def __str__(self) -> str:
        return workers.text(self)

    def _repr_html_(self) -> str:
        return workers.workers_card(self, self.merged() if self else None)

    def merged(self) -> Snapshot:
        """Return all of them as one snapshot: its held fraction is the mean of theirs, by time.

        Raises
        ------
        ValueError
            If there are no workers.
        """
        return Snapshot.merge(self.values())

    def stacks(self) -> tuple[HeldStack, ...]:
        """Return by which stacks the GILs were held, the largest first.

        As `Snapshot.stacks`, but equal stacks of one pool of threads are one, whichever worker
        and thread it was: ``thread`` is ``"Dask-Default-Threads"``, without numbers. Empty where
        stacks were not asked for, by ``watch(client, stacks=True)``.
        """
        if not self:
            return ()
        together = self.merged()
        stored = tuple(
            (one[0], _OF_A_POOL.sub(r"\1", one[1]), *one[2:]) for one in together._stacks or ()
        )
        return stacks.held_stacks(stacks.merged(stored, ()), together.held_seconds)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the held fraction of each worker, largest first, and the median.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure's otherwise.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If there is no matplotlib: ``pip install 'gilknocker[plot]'``.
        ValueError
            If of no worker it is known.
        """
        from gilknocker.reports.plotting import plot_workers

        return plot_workers(self, ax)

    def to_html(self, path: str | PathLike[str], title: str = "The GILs of a Dask cluster") -> None:
        """Write a page that needs nothing else: the card, that of the busiest worker, the table.

        Parameters
        ----------
        path : path-like
            The file: whole, or left as it was.
        title : str, optional
            Its heading.

        Raises
        ------
        ValueError
            If there are no workers.
        OSError
            If it cannot be written.
        """
        from gilknocker._files import Target

        Target(path).write_text(workers.workers_page(self, self.merged(), title))
