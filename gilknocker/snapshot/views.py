"""What a snapshot looks like: the card of a notebook, plots, tables."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["SnapshotViews"]


class SnapshotViews:
    """The methods of :class:`Snapshot` that show it; what they need is imported by their use."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        from gilknocker.reports.card import notebook_card

        snapshot: Any = self
        return notebook_card(snapshot)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: Literal["percentiles", "timeline"] = "percentiles",
        label: str | None = None,
    ) -> Axes:
        """Draw the waits with matplotlib, which ``pip install 'gilknocker[plot]'`` brings.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure's otherwise. To overlay snapshots, give all the same one.
        kind : {"percentiles", "timeline"}, default "percentiles"
            The wait at each percentile, on HdrHistogram's axis: as much of it for 90 to 99 % as
            for 99 to 99.9 %. Or each wait at its time, of a snapshot with raw waits.
        label : str, optional
            What the legend calls it.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If there is no matplotlib.
        ValueError
            If there is no such kind, or there are no waits to draw.
        AttributeError
            If a timeline is asked for and the snapshot has no raw waits.
        """
        from gilknocker.reports.plotting import plot

        snapshot: Any = self
        return plot(snapshot, ax, kind=kind, label=label)

    def to_pandas(self, waits: bool = False) -> pd.DataFrame:
        """Return the waits for pandas, which ``pip install 'gilknocker[pandas]'`` brings.

        Parameters
        ----------
        waits : bool, default False
            Whether to return the single waits, not their histogram.

        Returns
        -------
        pandas.DataFrame
            ``lower_ns``, ``upper_ns`` and ``count`` of each occupied bucket; or ``wait_ns`` and
            ``knock_ns`` of each raw wait, indexed by the time at which it was asked for (UTC). Its
            ``attrs`` are the ``"summary"`` of :meth:`to_dict`.

        Raises
        ------
        ImportError
            If there is no pandas.
        AttributeError
            If raw waits are asked for and the snapshot has none.
        """
        from gilknocker.reports.plotting import to_pandas

        snapshot: Any = self
        return to_pandas(snapshot, waits)
