"""Snapshots for matplotlib and pandas, where they are installed.

The axis of percentiles is that of HdrHistogram's plots: the wait that a share p of the waits does
not exceed stands at 1 / (1 - p), logarithmically, so that the rarest have as much room as the rest.
"""

from __future__ import annotations

from gilknocker._units import format_ns
from gilknocker.snapshot.as_dict import summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes

    from gilknocker.snapshot.value import Snapshot

__all__ = ["overlay", "percentile_steps", "plot", "plot_workers", "to_pandas"]

KINDS = ("percentiles", "timeline")
_MOST_NAMES = 20  # of bars: more would lie over each other
# Where 1 / (1 - p) is, and what is written there.
_PERCENTS = (
    (1, "0 %"),
    (2, "50 %"),
    *((10**k, f"{100 - 100 / 10**k:.10g} %") for k in range(1, 9)),
)


def plot(
    snapshot: Snapshot, ax: Axes | None = None, *, kind: str = "percentiles", label: str | None
) -> Axes:
    """Draw the waits of a snapshot: see :meth:`Snapshot.plot`."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, not {kind!r}")
    require("matplotlib", "plot", "Snapshot.plot()")
    if not snapshot.knocks:
        raise ValueError("there are no waits to draw: no knock was answered")
    draw = _draw_percentiles if kind == "percentiles" else _draw_timeline
    if kind == "timeline":
        snapshot.wait_times  # noqa: B018 (raises where there are none, before a figure is made)
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
    draw(snapshot, ax, label)
    if label is not None:
        ax.legend()
    return ax


def overlay(
    snapshots: Mapping[str, Snapshot], ax: Axes | None = None, *, kind: str = "percentiles"
) -> Axes:
    """Draw the waits of several snapshots over each other.

    Parameters
    ----------
    snapshots : mapping of str to Snapshot
        By the labels of the legend; at least one.
    ax, kind
        As of :meth:`Snapshot.plot`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError, ValueError, AttributeError
        As of :meth:`Snapshot.plot`; ValueError too if there are no snapshots.
    """
    for label, snapshot in snapshots.items():
        ax = plot(snapshot, ax, kind=kind, label=label)
    if ax is None:
        raise ValueError("snapshots must hold at least one, by its label")
    return ax


def plot_workers(workers: Mapping[str, Snapshot], ax: Axes | None = None) -> Axes:
    """Draw the held fraction of each of many processes: see ``ByWorker.plot``."""
    from statistics import median

    from gilknocker.reports.workers import held

    require("matplotlib", "plot", "plot()")
    fractions = held(workers)
    if not fractions:
        raise ValueError("there are no workers of which the held fraction is known")
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
    percents = [100 * fraction for fraction in fractions.values()]
    places = range(1, len(percents) + 1)
    middle = median(percents)
    ax.barh(places, percents, height=0.8 if len(percents) <= _MOST_NAMES else 1.0)
    ax.axvline(middle, color="C1", linestyle="--", label=f"median {middle:.1f} %")
    ax.invert_yaxis()
    ax.set_xlim(0, 100)
    ax.set_xlabel("share of the time that the GIL was held, %")
    if len(percents) <= _MOST_NAMES:
        ax.set_yticks(places, list(fractions))
    else:
        ax.set_ylabel(f"{len(percents)} workers, most first")
    ax.grid(True, axis="x", alpha=0.3)
    ax.legend()
    return ax


def percentile_steps(
    snapshot: Snapshot,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the corners of the line that gives the wait at each percentile.

    Returns
    -------
    x, y : numpy.ndarray
        ``1 / (1 - p)`` from 1 to the number of waits n, and waits in s, as of
        :meth:`Snapshot.percentile`; shape ``(m,)``. The longest wait is the one at ``x == n``.
    """
    import numpy as np

    counts = snapshot.histogram.counts
    middles = (snapshot.histogram.lower_ns + (snapshot.histogram.upper_ns - 1)) / 2
    waits = np.minimum(middles, snapshot.wait_max_ns)
    waits[-1] = snapshot.wait_max_ns
    total = int(counts.sum())
    above = total - np.cumsum(counts)  # how many waits are in higher buckets
    ends = total / np.maximum(above, 1)
    begins = np.concatenate(([1.0], ends[:-1]))
    return np.column_stack((begins, ends)).ravel(), np.repeat(waits, 2) / 1e9


def to_pandas(snapshot: Snapshot, waits: bool = False) -> pd.DataFrame:
    """Return the waits as a table: see :meth:`Snapshot.to_pandas`."""
    require("pandas", "pandas", "Snapshot.to_pandas()")
    import pandas as pd

    frame: pd.DataFrame
    if waits:
        columns = {"wait_ns": snapshot.wait_times, "knock_ns": snapshot.knock_times}
        on_the_wall = snapshot.knock_times + (snapshot.start_unix_ns - snapshot.start_ns)
        index = pd.to_datetime(on_the_wall, unit="ns", utc=True).rename("time")
        frame = pd.DataFrame(columns, index=index)
    else:
        histogram = snapshot.histogram
        frame = pd.DataFrame(
            {
                "lower_ns": histogram.lower_ns,
                "upper_ns": histogram.upper_ns,
                "count": histogram.counts,
            }
        )
    attributes: dict[Any, Any] = summary(snapshot)
    frame.attrs = attributes
    return frame


def require(module: str, extra: str, what: str) -> None:
    """Raise an ImportError that says how to get a module, if there is none."""
    from importlib import import_module

    try:
        import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{what} needs {module}, which cannot be imported ({error}): "
            f"pip install 'gilknocker[{extra}]'"
        ) from error


def _draw_percentiles(snapshot: Snapshot, ax: Axes, label: str | None) -> None:
    x, y = percentile_steps(snapshot)
    (line,) = ax.plot(x, y, label=label)
    ax.plot(x[-1:], y[-1:], "o", color=line.get_color(), markersize=4)
    ax.set_xscale("log")
    places = [place for place in _PERCENTS if place[0] <= max(ax.get_xlim()[1], 10)]
    ax.set_xticks([x for x, _ in places], [text for _, text in places])
    ax.set_xticks([], minor=True)
    ax.set_xlim(left=1, auto=True)  # another may come that reaches farther
    ax.set_xlabel("share of the waits that are not longer")
    _in_units_of_time(ax)


def _draw_timeline(snapshot: Snapshot, ax: Axes, label: str | None) -> None:
    seconds = (snapshot.knock_times - snapshot.start_ns) / 1e9
    # One that took no time at all, as the clock has it, has a place on a logarithmic axis too.
    waits = snapshot.wait_times.clip(1) / 1e9
    ax.plot(seconds, waits, ".", markersize=3, alpha=0.6, label=label)
    ax.set_xlabel("time since the start, s")
    ax.set_xlim(left=min(0.0, ax.get_xlim()[0]), auto=True)
    _in_units_of_time(ax)


def _in_units_of_time(ax: Axes) -> None:
    from matplotlib.ticker import FuncFormatter

    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(_duration))
    ax.set_ylabel("wait for the GIL")
    ax.grid(True, alpha=0.3)


def _duration(seconds: float, _: Any) -> str:
    return format_ns(seconds * 1e9, digits=1)
