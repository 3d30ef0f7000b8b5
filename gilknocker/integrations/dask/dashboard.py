"""A page of a scheduler's dashboard, ``/individual-gil``: for how long each worker's GIL is held.

``dask scheduler --preload gilknocker.integrations.dask.dashboard`` in the place of
``gilknocker.integrations.dask``. It is there from when the scheduler is made, which is why it is a
module of its own: Dask asks for a scheduler's pages before it calls ``dask_setup``, and workers,
which preload the package, need none of this.

Dask has no public way to add a page: this uses `distributed.dashboard.scheduler.applications` and
`individual_doc`, which are private.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from gilknocker.reports.plotting import require

require("bokeh", "dask-dashboard", "gilknocker.integrations.dask.dashboard")

from bokeh.models import ColumnDataSource, FactorRange, HoverTool, NumeralTickFormatter, Span  # noqa: E402
from bokeh.plotting import figure  # noqa: E402
from distributed.dashboard.components import DashboardComponent  # noqa: E402
from distributed.dashboard.components.scheduler import individual_doc  # noqa: E402
from distributed.dashboard.scheduler import applications  # noqa: E402
from distributed.dashboard.utils import update  # noqa: E402

from gilknocker._units import format_ns  # noqa: E402
from gilknocker.integrations.dask.preload import dask_setup  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["GilByWorker", "dask_setup"]

ROUTE = "/individual-gil"
_MOST_BARS = 40  # those that are held most: more would not be readable
_EVERY_MS = 500


class GilByWorker(DashboardComponent):  # type: ignore[misc]  # Any, for mypy
    """Bars of how long each worker's GIL was held between its last two heartbeats, most first.

    Parameters
    ----------
    scheduler : distributed.Scheduler
        Whose workers tell of their GIL: see `GilWorkerPlugin`.
    **kwargs
        As of ``bokeh.plotting.figure``.
    """

    def __init__(self, scheduler: Any, **kwargs: Any) -> None:
        self.scheduler = scheduler
        self._told: dict[str, tuple[Mapping[str, Any], float | None]] = {}
        self.source = ColumnDataSource({"worker": [], "held": [], "text": [], "wait": []})
        self.root = figure(
            title="GIL held", x_range=(0, 1), y_range=FactorRange(), tools="", **kwargs
        )
        self.root.hbar(y="worker", right="held", height=0.8, source=self.source)
        self.root.add_tools(
            HoverTool(tooltips=[("worker", "@worker"), ("held", "@text"), ("wait p99", "@wait")])
        )
        self.root.xaxis[0].formatter = NumeralTickFormatter(format="0 %")
        self._median = Span(
            location=0, dimension="height", line_dash="dashed", line_color="#c98a1b"
        )
        self.root.add_layout(self._median)

    def update(self) -> None:
        """Show what the newest heartbeats say."""
        held = self._look()
        shown = sorted(held.items(), key=lambda item: -item[1])[:_MOST_BARS]
        names = [address for address, _ in shown]
        update(
            self.source,
            {
                "worker": names,
                "held": [fraction for _, fraction in shown],
                "text": [f"{fraction:.1%}" for _, fraction in shown],
                "wait": [_wait(self._told[address][0]) for address in names],
            },
        )
        self.root.y_range.factors = names[::-1]  # from below
        self.root.title.text = _title(held, len(self.scheduler.workers))
        self._median.location = statistics.median(held.values()) if held else 0

    def _look(self) -> dict[str, float]:
        """Return the held fraction of each worker of which two heartbeats have told."""
        told: dict[str, tuple[Mapping[str, Any], float | None]] = {}
        for address, state in self.scheduler.workers.items():
            beat = state.metrics.get("gil")
            if beat is not None:
                told[address] = beat, self._fraction(address, beat)
        self._told = told
        return {one: fraction for one, (_, fraction) in told.items() if fraction is not None}

    def _fraction(self, address: str, beat: Mapping[str, Any]) -> float | None:
        before, fraction = self._told.get(address, (None, None))
        if before is None or before["id"] != beat["id"]:
            return None
        observed: float = beat["observed_seconds"] - before["observed_seconds"]
        if observed <= 0:  # nothing new
            return fraction
        held: float = beat["held_seconds"] - before["held_seconds"]
        return min(max(held / observed, 0.0), 1.0)


def _title(held: Mapping[str, float], workers: int) -> str:
    if not held:
        return f"GIL held: none of {workers} workers has told of two moments yet"
    values = held.values()
    middle = statistics.median(values)
    return (
        f"GIL held, of {len(held)} workers: least {min(values):.1%}, median {middle:.1%}, "
        f"most {max(values):.1%}"
    )


def _wait(beat: Mapping[str, Any]) -> str:
    p99 = beat["wait_p99_ns"]
    return "-" if p99 is None else f"{format_ns(p99)} since its start"


applications[ROUTE] = individual_doc(GilByWorker, _EVERY_MS)
