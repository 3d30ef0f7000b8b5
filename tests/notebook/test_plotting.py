"""Snapshots as matplotlib's plots and pandas' tables."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

pytest.importorskip("matplotlib", reason="needs the extra [plot]")

import matplotlib
import numpy as np
from hypothesis import given
from matplotlib import pyplot
from matplotlib.figure import Figure
from stories import MS, any_snapshots, tell

from gilknocker import Snapshot
from gilknocker.reports.plotting import overlay, percentile_steps, plot_workers

BEFORE = tell(["held"] * 50, [MS] * 90 + [50 * MS] * 10, raw=True, capacity=1000)
AFTER = tell(["free"] * 50, [5_000] * 990 + [MS] * 10, raw=True, capacity=1000)


@pytest.fixture(autouse=True)
def without_windows() -> Iterator[None]:
    matplotlib.use("agg")
    yield
    pyplot.close("all")


def test_percentiles() -> None:
    ax = BEFORE.plot()
    line = ax.lines[0]
    x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert x[0] == 1 and math.isclose(x[-1], 100)
    # 90 % wait about 1 ms: 1 / (1 - 0.9) is 10.
    assert np.allclose(y[x < 9.9], 1e-3, rtol=0.01) and np.allclose(y[x > 10.1], 0.05)
    ax.figure.draw_without_rendering()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0 %", "50 %", "90 %", "99 %"]
    assert "1 ms" in [label.get_text() for label in ax.get_yticklabels()]
    assert ax.get_legend() is None


@given(any_snapshots.filter(lambda snapshot: snapshot.knocks))
def test_steps_are_the_percentiles(snapshot: Snapshot) -> None:
    x, y = percentile_steps(snapshot)
    assert np.all(np.diff(x) >= 0) and np.all(np.diff(y) >= 0)
    assert x[0] == 1 and math.isclose(x[-1], snapshot.knocks)
    assert math.isclose(y[-1], snapshot.wait_max_ns / 1e9)
    for begin, end, wait in zip(x[:-2:2], x[1:-2:2], y[:-2:2], strict=True):
        within = (begin * end) ** 0.5
        assert math.isclose(snapshot.percentile(100 * (1 - 1 / within)) / 1e9, wait)


def test_several_over_each_other() -> None:
    ax = BEFORE.plot(label="before")
    assert AFTER.plot(ax=ax, label="after") is ax
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["before", "after"]
    colors = {ax.lines[0].get_color(), ax.lines[2].get_color()}
    assert len(colors) == 2
    # As far as the longer of the two goes: 1,000 waits.
    assert "99.9 %" in [label.get_text() for label in ax.get_xticklabels()]
    again = overlay({"before": BEFORE, "after": AFTER}, kind="timeline")
    assert [text.get_text() for text in again.get_legend().get_texts()] == ["before", "after"]


def test_timeline() -> None:
    ax = Figure().add_subplot()
    assert BEFORE.plot(ax, kind="timeline") is ax
    (line,) = ax.lines
    assert np.allclose(line.get_xdata(), (BEFORE.knock_times - BEFORE.start_ns) / 1e9)
    assert np.allclose(line.get_ydata(), BEFORE.wait_times / 1e9)
    assert pyplot.get_fignums() == []


def test_waits_of_nothing_have_a_place() -> None:
    ax = tell([], [0, 0, 5], raw=True).plot(kind="timeline")
    assert np.asarray(ax.lines[0].get_ydata()).min() > 0


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="no waits to draw"):
        tell(["held"], []).plot()
    with pytest.raises(AttributeError, match=r"snapshot\(waits=True\)"):
        tell(["held"], [MS]).plot(kind="timeline")
    with pytest.raises(ValueError, match="at least one"):
        overlay({})
    assert pyplot.get_fignums() == []


def test_histogram_as_a_table() -> None:
    pytest.importorskip("pandas")
    frame = BEFORE.to_pandas()
    assert list(frame.columns) == ["lower_ns", "upper_ns", "count"]
    assert frame.to_numpy().tolist() == [list(bucket) for bucket in BEFORE.histogram]
    assert frame.attrs["wait_p50_ns"] == BEFORE.percentile(50)


def test_raw_waits_as_a_table() -> None:
    pd = pytest.importorskip("pandas")
    frame = BEFORE.to_pandas(waits=True)
    assert frame["wait_ns"].tolist() == BEFORE.wait_times.tolist()
    assert frame["knock_ns"].tolist() == BEFORE.knock_times.tolist()
    first = BEFORE.start_unix_ns + int(BEFORE.knock_times[0]) - BEFORE.start_ns
    assert frame.index[0] == pd.Timestamp(first, unit="ns", tz="UTC")
    assert frame.index.name == "time"
    with pytest.raises(AttributeError, match=r"snapshot\(waits=True\)"):
        tell(["held"], [MS]).to_pandas(waits=True)


def test_workers_most_first_with_their_median() -> None:
    workers = {name: tell(["held"] * n + ["free"] * (100 - n), []) for name, n in LOADS.items()}
    ax = plot_workers(workers)
    assert [round(bar.get_width()) for bar in ax.patches] == [99, 5, 4, 2]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "d", "c", "a"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["median 4.5 %"]
    assert ax.yaxis_inverted()
    given = Figure().add_subplot()
    assert plot_workers(workers | {f"x{n}": workers["a"] for n in range(20)}, given) is given
    assert given.get_ylabel() == "24 workers, most first"
    with pytest.raises(ValueError, match="no workers of which the held fraction is known"):
        plot_workers({"new": tell([], [])})


LOADS = {"a": 2, "b": 99, "c": 4, "d": 5}
